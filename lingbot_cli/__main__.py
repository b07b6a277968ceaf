"""`python -m lingbot_cli` and the `lingbot` script."""

import sys

from lingbot_cli.cli import run


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
