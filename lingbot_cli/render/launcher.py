"""Launcher of a process group on this machine: one process per device, watched until the leader ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType

from lingbot_cli.errors import SetupError
from lingbot_cli.ui.signals import handled_by

TERMINATE_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.05
LAUNCHER_FD = "LINGBOT_LAUNCHER_FD"
"""Environment variable with the descriptor of a pipe that the launcher holds open."""

Process = subprocess.Popen[bytes]


def launch_processes(
    argv: Sequence[str], count: int, environ: Mapping[str, str], warn: Callable[[str], None]
) -> int:
    """Run `lingbot ARGV` as `count` processes with a device each; return the leader's exit code.

    Signals go to the leader, which decides for all. When another process dies the leader is terminated too.
    Errors: SetupError with the rank and exit code of the process that died.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    alive, held = os.pipe()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "lingbot_cli", *argv],
            env={
                **environ,
                "WORLD_SIZE": str(count),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                LAUNCHER_FD: str(alive),
            },
            pass_fds=(alive,),
            # Ctrl-C reaches the whole terminal; followers must be stopped by the leader alone.
            start_new_session=True,
            stdin=None if rank == 0 else subprocess.DEVNULL,
        )
        for rank in range(count)
    ]
    os.close(alive)
    try:
        with handled_by(partial(_forward, processes[0])):
            return _watch(processes, warn)
    finally:
        _terminate(processes)
        os.close(held)


def end_with_launcher(environ: Mapping[str, str]) -> None:
    """Terminate this process when its launcher is gone, however that ended; does nothing under torchrun."""
    if LAUNCHER_FD not in environ:
        return
    alive = int(environ[LAUNCHER_FD])

    def wait() -> None:
        with contextlib.suppress(OSError):
            os.read(alive, 1)  # returns when the launcher's end of the pipe is closed
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(TERMINATE_TIMEOUT_S)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, name="launcher", daemon=True).start()


def _watch(processes: Sequence[Process], warn: Callable[[str], None]) -> int:
    while True:
        leader, *followers = [process.poll() for process in processes]
        if leader is not None and leader != SetupError.exit_code:
            return leader if leader >= 0 else 128 - leader
        for rank, code in enumerate(followers, start=1):
            # A leader that has lost a follower may end first, with a SetupError, as followers do without it.
            if code and (leader is None or code != SetupError.exit_code):
                reason = f"signal {-code}" if code < 0 else f"exit code {code}"
                warn(f"process {rank} of {len(processes)} ended with {reason}; stopping all")
                _terminate(processes)
                raise SetupError(
                    f"process {rank} of {len(processes)} (device {rank}) died: {reason}",
                    hint="see its output above; use a smaller --gpus to leave the device out",
                )
        if leader is not None:
            return leader
        time.sleep(POLL_INTERVAL_S)


def _terminate(processes: Sequence[Process]) -> None:
    """Terminate the leader, twice for it may be waiting for the dead process, then kill the rest."""
    leader = processes[0]
    for _ in range(2):
        if leader.poll() is None:
            leader.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                leader.wait(TERMINATE_TIMEOUT_S / 2)
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def _forward(leader: Process, number: int, _frame: FrameType | None) -> None:
    if leader.poll() is None:
        leader.send_signal(number)
