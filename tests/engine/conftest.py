"""The served tiny world, here too."""

from tests.live.conftest import served

__all__ = ["served"]
