"""`python -m lingbot_cli` and the `lingbot` script."""

import contextlib
import os
import sys
import threading


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    # The stages of a film, its encoder and other programs share the cores: a thread that waits must not hold one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from lingbot_cli.cli import run
    except KeyboardInterrupt:
        sys.exit(130)
    code = run(sys.argv[1:])
    if threading.active_count() > 1:
        # A stage is still in the middle of a forward pass: taking the interpreter down under it would crash.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
