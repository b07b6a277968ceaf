"""Gives every film to a hand until all are made, and knows what to do with those that are not."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lingbot_cli.batch.planner import Planned
from lingbot_cli.batch.worker import Outcome
from lingbot_cli.batch.workers import Crew, Hand
from lingbot_cli.ui.progress import Progress

LOSSES = 3
"""How often a film may lose its hand before it is held to be the reason."""
_LOOK = 0.2  # seconds between looks at the clock


@dataclass(frozen=True)
class Rules:
    """`retries` of a film that failed, `timeout` in seconds of each try; `fail_fast`: nothing new after a failure."""

    retries: int = 0
    timeout: float | None = None
    fail_fast: bool = False


@dataclass
class Row:
    """One film of the farm and how it went; `tries` counts the hands that have had it."""

    planned: Planned
    outcome: Outcome | None = None
    tries: int = 0
    losses: int = 0
    hand: str = ""
    progress: Progress | None = None


@dataclass
class Farm:
    """One run: `watch` is told of every row that changes."""

    rows: Sequence[Row]
    crew: Crew
    rules: Rules
    watch: Callable[[Row], None]
    stopped: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _waiting: deque[Row] = field(default_factory=deque)
    _busy: dict[str, tuple[Hand, Row, float]] = field(default_factory=dict)
    _told: bool = False

    def run(self) -> None:
        """Make every film that has no outcome yet; afterwards every row has one."""
        self._waiting.extend(row for row in self.rows if row.outcome is None)
        try:
            while self._busy or (self._waiting and not self._over()):
                self._assign()
                self.crew.wait(_LOOK)
                for hand, row, began in list(self._busy.values()):
                    self._look_at(hand, row, began)
                if self.stopped() and not self._told:
                    self._told = True
                    for hand, _, _ in self._busy.values():
                        hand.stop()
        finally:
            self.crew.close()
        for row in self._waiting:
            row.outcome = Outcome("stopped", "not begun", exit_code=1)
            self.watch(row)

    def _over(self) -> bool:
        failed = any(row.outcome is not None and row.outcome.exit_code for row in self.rows)
        return self.stopped() or (self.rules.fail_fast and failed)

    def _assign(self) -> None:
        for hand in self.crew.hands:
            if hand.name not in self._busy and self._waiting and not self._over() and hand.ready():
                row = self._waiting.popleft()
                row.tries, row.hand, row.progress = row.tries + 1, hand.name, None
                hand.start(row.planned.task)
                self._busy[hand.name] = hand, row, self.clock()
                self.watch(row)

    def _look_at(self, hand: Hand, row: Row, began: float) -> None:
        for news in hand.news():
            if isinstance(news, Outcome):
                self._finish(hand, row, news)
                return
            row.progress = news
            self.watch(row)
        spent = self.clock() - began
        if self.rules.timeout is not None and spent > self.rules.timeout:
            hand.end()
            said = f"not done after {self.rules.timeout:g} s"
            hint = "run the batch again to go on where it stopped, with a longer --timeout"
            self._finish(hand, row, Outcome("late", said, hint, 1, seconds=spent))

    def _finish(self, hand: Hand, row: Row, outcome: Outcome) -> None:
        del self._busy[hand.name]
        row.progress = None
        if outcome.status == "lost" and self.stopped():  # it was told to end before it could hear that well
            outcome = replace(outcome, status="stopped")
        row.losses += outcome.status == "lost"
        again = outcome.status == "lost" and row.losses < LOSSES
        # What the user got wrong does not get right by itself.
        again |= outcome.status == "failed" and outcome.exit_code not in (2, 3) and self._tries_left(row)
        if again and not self.stopped():
            row.outcome = None
            self._waiting.append(row)
        else:
            row.outcome = replace(
                outcome, exit_code=outcome.exit_code or (outcome.status not in ("made", "there"))
            )
        self.watch(row)

    def _tries_left(self, row: Row) -> bool:
        return row.tries - row.losses <= self.rules.retries
