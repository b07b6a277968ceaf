"""How the world that ships was made: its place, its training, its figures. Not part of the package."""
