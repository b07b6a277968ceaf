"""Timelines as pictures: from above, and as a film without a world."""
