"""Interface of a browser tab for the tests of the page."""

import time
from pathlib import Path
from typing import Any

WAIT = 60.0


class Tab:
    """One page; every wait has a limit. `wrong`: warnings and errors of its console."""

    wrong: list[str]

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        raise NotImplementedError

    def key(self, kind: str, letter: str) -> None:
        """Send `keyDown` or `keyUp` of a letter."""
        raise NotImplementedError

    def drag(self, x: int, y: int, right: int) -> None:
        """Drag the mouse to the right."""
        raise NotImplementedError

    def reload(self) -> None:
        """Load the page again."""
        raise NotImplementedError

    def leave(self) -> None:
        """Go to an empty page."""
        raise NotImplementedError

    def screenshot(self, path: Path) -> None:
        """Save a screenshot as a PNG."""
        raise NotImplementedError

    def until(self, expression: str) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            # While a page loads not every element exists yet.
            if value := self.ask(f"document.readyState !== 'loading' && ({expression})"):
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"never true: {expression}; {self.data()}; {self.ask('document.body.innerText')}; {self.wrong}"
        )

    def data(self) -> dict[str, str]:
        """Return the state in the page's data attributes."""
        return self.ask("({...document.body.dataset})")

    def chunks(self, count: int) -> None:
        """Wait for `count` more chunks."""
        now = int(self.data().get("chunk", -1))
        self.until(f"Number(document.body.dataset.chunk) >= {now + count}")
