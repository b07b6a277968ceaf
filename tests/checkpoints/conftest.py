"""A separate cache folder for these tests."""

from tests.support.cache import cache

__all__ = ["cache"]
