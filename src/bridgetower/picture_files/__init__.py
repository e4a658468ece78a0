"""Opening picture files: which formats are read, and how deep or turned pictures become 8-bit RGB."""
