"""A world in a terminal: pictures out of characters or pixels, keys, and the terminal given back."""
