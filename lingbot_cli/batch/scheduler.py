"""Scheduler of a batch, with the protocols of its workers: assignment, retries, timeouts, crashes."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from lingbot_cli.batch.planner import PlannedTask
from lingbot_cli.batch.task_runner import TaskResult
from lingbot_cli.batch.tasks import Task
from lingbot_cli.ui.progress import Progress

MAX_CRASHES = 3
"""Worker crashes per video before the video is marked as crashed."""
_POLL_INTERVAL_S = 0.2

WorkerEvent = Progress | TaskResult
"""Progress of the current task or, once and last, its result."""


class Worker(Protocol):
    """Render one task at a time. A worker that dies reports a result of status `crashed`."""

    name: str

    def ready(self) -> bool:
        """Return whether it can start a task; the first call starts it up, which may take long on a cluster."""

    def start(self, task: Task) -> None:
        """Start a task; only while no other is running."""

    def poll_events(self) -> list[WorkerEvent]:
        """Return the events since the last call, without blocking."""

    def stop(self) -> None:
        """Ask the current task to end after its chunk."""

    def end(self) -> None:
        """End at once; finished chunks stay on disk. The worker can be started again."""


class WorkerPool(Protocol):
    """The workers of a batch."""

    workers: list[Worker]

    def wait(self, seconds: float) -> None:
        """Wait for an event of any worker, at most so long."""

    def close(self) -> None:
        """End all workers."""


@dataclass(frozen=True)
class SchedulerOptions:
    """`retries` of a failed video, `timeout` in seconds per attempt; `fail_fast`: start nothing after a failure."""

    retries: int = 0
    timeout: float | None = None
    fail_fast: bool = False


@dataclass
class TaskState:
    """State of one task; `attempts` counts its starts, `crashes` the workers it lost."""

    planned: PlannedTask
    result: TaskResult | None = None
    attempts: int = 0
    crashes: int = 0
    worker: str = ""
    progress: Progress | None = None


@dataclass
class Scheduler:
    """One run of a batch; `on_change` is called with every state that changes."""

    states: Sequence[TaskState]
    pool: WorkerPool
    options: SchedulerOptions
    on_change: Callable[[TaskState], None]
    stopped: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _waiting: deque[TaskState] = field(default_factory=deque)
    _running: dict[str, tuple[Worker, TaskState, float]] = field(default_factory=dict)
    _stop_sent: bool = False

    def run(self) -> None:
        """Run every task without a result; afterwards each has one."""
        self._waiting.extend(state for state in self.states if state.result is None)
        try:
            while self._running or (self._waiting and not self._closed()):
                self._assign()
                self.pool.wait(_POLL_INTERVAL_S)
                for worker, state, started in list(self._running.values()):
                    self._poll(worker, state, started)
                if self.stopped() and not self._stop_sent:
                    self._stop_sent = True
                    for worker, _, _ in self._running.values():
                        worker.stop()
        finally:
            self.pool.close()
        for state in self._waiting:
            state.result = TaskResult("stopped", "not started", exit_code=1)
            self.on_change(state)

    def _closed(self) -> bool:
        failed = any(state.result is not None and state.result.exit_code for state in self.states)
        return self.stopped() or (self.options.fail_fast and failed)

    def _assign(self) -> None:
        for worker in self.pool.workers:
            if worker.name not in self._running and self._waiting and not self._closed() and worker.ready():
                state = self._waiting.popleft()
                state.attempts, state.worker, state.progress = state.attempts + 1, worker.name, None
                worker.start(state.planned.task)
                self._running[worker.name] = worker, state, self.clock()
                self.on_change(state)

    def _poll(self, worker: Worker, state: TaskState, started: float) -> None:
        for event in worker.poll_events():
            if isinstance(event, TaskResult):
                self._finish(worker, state, event)
                return
            state.progress = event
            self.on_change(state)
        seconds = self.clock() - started
        if self.options.timeout is not None and seconds > self.options.timeout:
            worker.end()
            message = f"not finished after {self.options.timeout:g} s"
            hint = "run the batch again with a longer --timeout; it continues after the last finished chunk"
            self._finish(worker, state, TaskResult("timeout", message, hint, 1, seconds=seconds))

    def _finish(self, worker: Worker, state: TaskState, result: TaskResult) -> None:
        del self._running[worker.name]
        state.progress = None
        if result.status == "crashed" and self.stopped():  # the signal came before its handler was installed
            result = replace(result, status="stopped")
        state.crashes += result.status == "crashed"
        retry = result.status == "crashed" and state.crashes < MAX_CRASHES
        # Usage errors (2) and a machine that lacks something (3) fail again in the same way.
        retries_left = state.attempts - state.crashes <= self.options.retries
        retry |= result.status == "failed" and result.exit_code not in (2, 3) and retries_left
        if retry and not self.stopped():
            state.result = None
            self._waiting.append(state)
        else:
            succeeded = result.status in ("rendered", "skipped")
            state.result = replace(result, exit_code=result.exit_code or int(not succeeded))
        self.on_change(state)
