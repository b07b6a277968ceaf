"""Promises for when things go wrong, each measured with real processes, signals, disks and certificates."""
