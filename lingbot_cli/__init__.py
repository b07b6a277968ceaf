"""A command-line renderer for LingBot worlds, and `load` for use from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lingbot_cli.python_api import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module 'lingbot_cli' has no attribute '{name}'")
    from lingbot_cli.python_api import load  # the command line starts without it

    return load
