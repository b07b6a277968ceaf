"""Mutation run: `python -m tests.mutation AREA`."""
