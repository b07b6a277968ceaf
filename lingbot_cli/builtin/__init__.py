"""The world that ships with the program, in our own layout."""
