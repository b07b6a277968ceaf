"""Faster or smaller ways to compute, one removable file each, tested against the eager result."""
