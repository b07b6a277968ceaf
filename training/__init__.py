"""Training of the built-in model: its scene, its training stages and its measurements. Not part of the package."""
