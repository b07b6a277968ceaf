"""A cache folder of their own for these tests."""

from tests.support.cache import cache

__all__ = ["cache"]
