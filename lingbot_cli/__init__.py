"""A command-line renderer for LingBot worlds."""

__version__ = "0.1.0"
