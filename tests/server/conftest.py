"""The served tiny world, here too."""

from tests.support.serving import served

__all__ = ["served"]
