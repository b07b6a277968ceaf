"""A page in some browser, as the tests of the page see it."""

import time
from pathlib import Path
from typing import Any

WAIT = 60.0


class Tab:
    """One page; every wait is bounded. `wrong` is what its console has complained about."""

    wrong: list[str]

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        raise NotImplementedError

    def key(self, kind: str, letter: str) -> None:
        """`keyDown` or `keyUp` of a letter."""
        raise NotImplementedError

    def drag(self, x: int, y: int, right: int) -> None:
        """Press the mouse, pull it to the right, let go."""
        raise NotImplementedError

    def reload(self) -> None:
        """Load the page again."""
        raise NotImplementedError

    def leave(self) -> None:
        """Go to an empty page."""
        raise NotImplementedError

    def screenshot(self, path: Path) -> None:
        """Keep what is seen as a PNG."""
        raise NotImplementedError

    def until(self, expression: str) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            # While a page loads there may be no body yet.
            if value := self.ask(f"document.body && ({expression})"):
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"never true: {expression}; {self.data()}; {self.ask('document.body.innerText')}; {self.wrong}"
        )

    def data(self) -> dict[str, str]:
        """What the page says of itself."""
        return self.ask("({...document.body.dataset})")

    def chunks(self, count: int) -> None:
        """Wait until so many more chunks have arrived."""
        now = int(self.data().get("chunk", -1))
        self.until(f"Number(document.body.dataset.chunk) >= {now + count}")
