"""Gives every film to a hand until all are made, and knows what to do with those that are not."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lingbot_cli.batch.planner import PlannedTask
from lingbot_cli.batch.worker import TaskResult
from lingbot_cli.batch.workers import Worker, WorkerPool
from lingbot_cli.ui.progress import Progress

MAX_CRASHES = 3
"""How often a film may lose its hand before it is held to be the reason."""
_POLL_INTERVAL_S = 0.2  # seconds between looks at the clock


@dataclass(frozen=True)
class SchedulerOptions:
    """`retries` of a film that failed, `timeout` in seconds of each try; `fail_fast`: nothing new after a failure."""

    retries: int = 0
    timeout: float | None = None
    fail_fast: bool = False


@dataclass
class TaskState:
    """One film of the farm and how it went; `tries` counts the hands that have had it."""

    planned: PlannedTask
    result: TaskResult | None = None
    attempts: int = 0
    crashes: int = 0
    worker: str = ""
    progress: Progress | None = None


@dataclass
class Scheduler:
    """One run: `watch` is told of every row that changes."""

    states: Sequence[TaskState]
    pool: WorkerPool
    options: SchedulerOptions
    on_change: Callable[[TaskState], None]
    stopped: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _waiting: deque[TaskState] = field(default_factory=deque)
    _busy: dict[str, tuple[Worker, TaskState, float]] = field(default_factory=dict)
    _told: bool = False

    def run(self) -> None:
        """Make every film that has no outcome yet; afterwards every row has one."""
        self._waiting.extend(row for row in self.states if row.result is None)
        try:
            while self._busy or (self._waiting and not self._over()):
                self._assign()
                self.pool.wait(_POLL_INTERVAL_S)
                for hand, row, began in list(self._busy.values()):
                    self._look_at(hand, row, began)
                if self.stopped() and not self._told:
                    self._told = True
                    for hand, _, _ in self._busy.values():
                        hand.stop()
        finally:
            self.pool.close()
        for row in self._waiting:
            row.result = TaskResult("stopped", "not begun", exit_code=1)
            self.on_change(row)

    def _over(self) -> bool:
        failed = any(row.result is not None and row.result.exit_code for row in self.states)
        return self.stopped() or (self.options.fail_fast and failed)

    def _assign(self) -> None:
        for hand in self.pool.workers:
            if hand.name not in self._busy and self._waiting and not self._over() and hand.ready():
                row = self._waiting.popleft()
                row.attempts, row.worker, row.progress = row.attempts + 1, hand.name, None
                hand.start(row.planned.task)
                self._busy[hand.name] = hand, row, self.clock()
                self.on_change(row)

    def _look_at(self, hand: Worker, row: TaskState, began: float) -> None:
        for news in hand.poll_events():
            if isinstance(news, TaskResult):
                self._finish(hand, row, news)
                return
            row.progress = news
            self.on_change(row)
        spent = self.clock() - began
        if self.options.timeout is not None and spent > self.options.timeout:
            hand.end()
            said = f"not done after {self.options.timeout:g} s"
            hint = "run the batch again to go on where it stopped, with a longer --timeout"
            self._finish(hand, row, TaskResult("late", said, hint, 1, seconds=spent))

    def _finish(self, hand: Worker, row: TaskState, outcome: TaskResult) -> None:
        del self._busy[hand.name]
        row.progress = None
        if outcome.status == "lost" and self.stopped():  # it was told to end before it could hear that well
            outcome = replace(outcome, status="stopped")
        row.crashes += outcome.status == "lost"
        again = outcome.status == "lost" and row.crashes < MAX_CRASHES
        # What the user got wrong does not get right by itself.
        again |= outcome.status == "failed" and outcome.exit_code not in (2, 3) and self._tries_left(row)
        if again and not self.stopped():
            row.result = None
            self._waiting.append(row)
        else:
            row.result = replace(
                outcome, exit_code=outcome.exit_code or (outcome.status not in ("made", "there"))
            )
        self.on_change(row)

    def _tries_left(self, row: TaskState) -> bool:
        return row.attempts - row.crashes <= self.options.retries
