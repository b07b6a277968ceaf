"""Start the processes of one film on this machine and watch over them."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

from lingbot_cli.errors import SetupError

TERMINATE_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.05


def launch_processes(
    argv: Sequence[str], count: int, environ: Mapping[str, str], tell: Callable[[str], None]
) -> int:
    """Run `lingbot ARGV` as `count` processes with a device each; return the leader's exit code.

    A process that dies takes the others with it: the leader is asked to end well, and SetupError says which
    one it was. Signals go to the leader, which decides for all.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gang = [
        subprocess.Popen(
            [sys.executable, "-m", "lingbot_cli", *argv],
            env={
                **environ,
                "WORLD_SIZE": str(count),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            # Ctrl-C reaches the whole terminal; followers must hear of it from the leader alone.
            start_new_session=True,
            stdin=None if rank == 0 else subprocess.DEVNULL,
        )
        for rank in range(count)
    ]
    try:
        with _forward_signals(gang[0]):
            return _watch(gang, tell)
    finally:
        _terminate(gang)


def _watch(gang: Sequence["subprocess.Popen[bytes]"], tell: Callable[[str], None]) -> int:
    while True:
        leader = gang[0].poll()
        if leader is not None:
            return leader if leader >= 0 else 128 - leader
        for rank, member in enumerate(gang[1:], start=1):
            code = member.poll()
            if code:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                tell(f"process {rank} of {len(gang)} ended with {how}; the film ends here")
                _terminate(gang)
                raise SetupError(
                    f"process {rank} of {len(gang)} (device {rank}) died: {how}",
                    hint="see what it said above; `--gpus` with fewer devices leaves it out",
                )
        time.sleep(POLL_INTERVAL_S)


def _terminate(gang: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Ask the leader twice to end (it may be waiting for the dead one), then end everyone."""
    for _ in range(2):
        if gang[0].poll() is None:
            gang[0].send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                gang[0].wait(TERMINATE_TIMEOUT_S / 2)
    for member in gang:
        if member.poll() is None:
            member.kill()
        member.wait()


@contextlib.contextmanager
def _forward_signals(leader: "subprocess.Popen[bytes]") -> Iterator[None]:
    def hear(number: int, _frame: FrameType | None) -> None:
        if leader.poll() is None:
            leader.send_signal(number)

    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, hear) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
