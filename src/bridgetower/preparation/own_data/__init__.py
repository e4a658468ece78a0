"""Tables of a user's own pictures and texts, from whatever files they are in."""
