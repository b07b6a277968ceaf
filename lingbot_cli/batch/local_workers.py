"""Workers on this machine, a process each: a video that hangs or crashes does not affect the others."""

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

from lingbot_cli.batch.scheduler import Worker, WorkerEvent
from lingbot_cli.batch.task_runner import TaskResult, TaskRunner
from lingbot_cli.batch.tasks import Task
from lingbot_cli.operating_system import holding_interrupts, ignore_interrupts, new_session

_EXIT_TIMEOUT_S = 5.0


class LocalWorker:
    """A process that is started with its first task, and again after it ended or crashed."""

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
            self._spawn()
        assert self.pipe is not None
        self._busy = True
        with contextlib.suppress(OSError):  # it has just died: reported by the next poll
            self.pipe.send(task)

    def poll_events(self) -> list[WorkerEvent]:
        events: list[WorkerEvent] = []
        try:
            while self.pipe is not None and self.pipe.poll():
                events.append(self.pipe.recv())
        except (EOFError, OSError):
            if self._busy:
                events.append(TaskResult("crashed", self._exit_reason(), exit_code=1))
            self.end()
        if any(isinstance(each, TaskResult) for each in events):
            self._busy = False
        return events

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

    def _spawn(self) -> None:
        self.end()
        spawn = multiprocessing.get_context("spawn")
        self.pipe, child_pipe = spawn.Pipe()
        self._process = spawn.Process(
            target=_run_worker, args=(child_pipe, *self._arguments), name=self.name, daemon=True
        )
        resource_tracker.ensure_running()  # started here, since its own start would lift the mask below
        # Ctrl-C in the terminal is for the parent alone, even before the child can ignore it.
        with holding_interrupts():
            self._process.start()
        child_pipe.close()

    def _exit_reason(self) -> str:
        assert self._process is not None
        self._process.join(_EXIT_TIMEOUT_S)
        code = self._process.exitcode or 0
        return (
            f"worker process killed by signal {-code}"
            if code < 0
            else f"worker process exited with code {code}"
        )


class LocalWorkerPool:
    """`count` workers, which take the devices in turn."""

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
        pipes = [worker.pipe for worker in self._local if worker.pipe is not None]
        multiprocessing.connection.wait(pipes, seconds)

    def close(self) -> None:
        for worker in self.workers:
            worker.end()


def _run_worker(pipe: Connection, folder: Path, device: str | None, threads: int | None) -> None:
    """Run a worker process: receive tasks from the pipe, send events to it."""
    new_session()
    ignore_interrupts()
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    tasks: queue.Queue[Task] = queue.Queue()
    threading.Thread(target=_receive, args=(pipe, tasks.put), daemon=True).start()
    runner = TaskRunner(folder, device)
    while True:
        pipe.send(runner.run(tasks.get(), pipe.send))


def _receive(pipe: Connection, put: Callable[[Task], None]) -> None:
    while True:
        try:
            put(pipe.recv())
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone: exit at once, so that its next run is alone
