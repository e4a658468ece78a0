"""What settings may be: their ranges, those of the Hugging Face port, and the JSON files that hold them."""
