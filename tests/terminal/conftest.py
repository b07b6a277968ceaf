"""Fixture of the served tiny model."""

from tests.support.serving import served

__all__ = ["served"]
