"""Run a command line in this process."""

import io
from dataclasses import dataclass

from lingbot_cli.cli import run
from lingbot_cli.env import Env


@dataclass(frozen=True)
class Done:
    """Exit code and output of a finished command."""

    code: int
    stdout: str
    stderr: str


def lingbot(*argv: str) -> Done:
    """Run `lingbot ARGV…` in this process with plain consoles."""
    out, err = io.StringIO(), io.StringIO()
    env = Env(stdout=out, stderr=err)
    return Done(run(argv, env), out.getvalue(), err.getvalue())
