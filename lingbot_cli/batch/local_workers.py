"""Hands on this machine: a process for each, so that one film can neither hang nor bring down the rest."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

from lingbot_cli.batch.tasks import Task
from lingbot_cli.batch.worker import TaskResult, TaskRunner
from lingbot_cli.batch.workers import Worker, WorkerEvent

_EXIT_TIMEOUT_S = 5.0  # seconds a process gets to end


class LocalWorker:
    """A process that is started with its first film and again after it was ended or lost."""

    def __init__(self, name: str, folder: Path, device: str | None, threads: int | None) -> None:
        self.name = name
        self._arguments = (folder, device, threads)
        self._process: multiprocessing.process.BaseProcess | None = None
        self.pipe: Connection | None = None
        self._busy = False

    def ready(self) -> bool:
        return True

    def start(self, task: Task) -> None:
        if self._process is None or not self._process.is_alive() or self.pipe is None:
            self._begin()
        assert self.pipe is not None
        self._busy = True
        with contextlib.suppress(OSError):  # it has just died: the next news say so
            self.pipe.send(task)

    def poll_events(self) -> list[WorkerEvent]:
        heard: list[WorkerEvent] = []
        try:
            while self.pipe is not None and self.pipe.poll():
                heard.append(self.pipe.recv())
        except (EOFError, OSError):
            if self._busy:
                heard.append(TaskResult("lost", self._how_it_died(), exit_code=1))
            self.end()
        if any(isinstance(each, TaskResult) for each in heard):
            self._busy = False
        return heard

    def stop(self) -> None:
        if self._process is not None and self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGTERM)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(_EXIT_TIMEOUT_S)
        if self.pipe is not None:
            self.pipe.close()
        self._process, self.pipe, self._busy = None, None, False

    def _begin(self) -> None:
        self.end()
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_run_worker, args=(theirs, *self._arguments), name=self.name, daemon=True
        )
        resource_tracker.ensure_running()  # it would lift the mask below, were it started by the process's start
        # A Ctrl-C in the terminal is the farm's to hear, even before the process can say so itself.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def _how_it_died(self) -> str:
        assert self._process is not None
        self._process.join(_EXIT_TIMEOUT_S)
        code = self._process.exitcode or 0
        return (
            f"its process was killed by signal {-code}" if code < 0 else f"its process ended with code {code}"
        )


class LocalWorkerPool:
    """`count` hands; on a machine with several GPUs each in turn has one of them."""

    def __init__(self, folder: Path, count: int, devices: tuple[str, ...] = ()) -> None:
        threads = None
        if count > 1 and "OMP_NUM_THREADS" not in os.environ:
            threads = max(1, (os.cpu_count() or 1) // count)
        self._local = [
            LocalWorker(f"worker {i + 1}", folder, devices[i % len(devices)] if devices else None, threads)
            for i in range(count)
        ]
        self.workers: list[Worker] = list(self._local)

    def wait(self, seconds: float) -> None:
        pipes = [hand.pipe for hand in self._local if hand.pipe is not None]
        multiprocessing.connection.wait(pipes, seconds)

    def close(self) -> None:
        for hand in self.workers:
            hand.end()


def _run_worker(pipe: Connection, folder: Path, device: str | None, threads: int | None) -> None:
    """The process of a hand: films come in by the pipe, news go out."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one that came before
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    tasks: queue.Queue[Task] = queue.Queue()
    threading.Thread(target=_receive, args=(pipe, tasks.put), daemon=True).start()
    worker = TaskRunner(folder, device)
    while True:
        pipe.send(worker.run(tasks.get(), pipe.send))


def _receive(pipe: Connection, put: Callable[[Task], None]) -> None:
    while True:
        try:
            put(pipe.recv())
        except (EOFError, OSError):
            os._exit(1)  # the farm is gone, however that happened: at once, so that its next run is alone
