"""Entry point of `python -m lingbot_cli` and of the `lingbot` script."""

import atexit
import contextlib
import os
import sys
import threading


def main() -> None:
    """Run the command line and exit with its code."""
    # Stages, encoder and other programs share the cores: a waiting thread must not hold one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from lingbot_cli.runtime.hardware import use_expandable_segments

    use_expandable_segments(os.environ)
    os.environ.setdefault(
        "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
    )  # cuda:1 is number 1 of nvidia-smi, which plans ask
    try:
        from lingbot_cli.cli import run
        from lingbot_cli.console import open_closed_streams
    except KeyboardInterrupt:
        sys.exit(130)
    open_closed_streams()
    code = run(sys.argv[1:])
    if threading.active_count() == 1:  # else a stage may be in a forward pass
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # Ending the interpreter would free every object of torch: 0.6 s of CPU time, seconds on a busy machine.
    os._exit(code)


if __name__ == "__main__":
    main()
