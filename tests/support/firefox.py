"""A real Firefox, controlled over WebDriver BiDi."""

import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.browser import WAIT, Tab

BROWSER = shutil.which("firefox-esr") or shutil.which("firefox")
needs_firefox = pytest.mark.skipif(BROWSER is None, reason="needs Firefox")


class FirefoxTab(Tab):
    """One page of a Firefox, in a window of its own: what is behind another would not be drawn."""

    def __init__(self, browser: "Firefox", context: str) -> None:
        self.wrong = []
        self._browser = browser
        self._context = context

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, context=self._context, **params)

    def ask(self, expression: str) -> Any:
        # As JSON, since values come back described, member by member.
        found = self._browser.call(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(JSON.stringify)",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"].get("value", "null"))

    def key(self, kind: str, letter: str) -> None:
        self._act({"type": "key", "id": "keys", "actions": [{"type": kind, "value": letter}]})

    def drag(self, x: int, y: int, right: int) -> None:
        moves = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": x + right, "y": y},
            {"type": "pointerUp", "button": 0},
        ]
        self._act({"type": "pointer", "id": "mouse", "actions": moves})

    def _act(self, source: dict[str, Any]) -> None:
        self.call("input.performActions", actions=[source])

    def reload(self) -> None:
        self.call("browsingContext.reload", wait="none")

    def leave(self) -> None:
        self.call("browsingContext.navigate", url="about:blank", wait="none")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("browsingContext.captureScreenshot")["data"]))


class Firefox:
    """A running Firefox, all its tabs over one socket."""

    def __init__(self, socket: Any) -> None:
        self._tabs: dict[str, FirefoxTab] = {}
        self._socket = socket
        self._number = 0
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            said = json.loads(self._socket.recv(WAIT))
            if said["type"] == "event":
                self._log(said["params"])
            elif said.get("id") == self._number:
                assert said["type"] == "success", said
                return said["result"]
        raise AssertionError(f"{method} was not answered")

    def _log(self, entry: dict[str, Any]) -> None:
        tab = self._tabs.get(entry["source"].get("context"))
        if tab is not None and entry["level"] in ("warn", "error"):
            tab.wrong.append(entry["text"])

    def open(self, url: str, width: int = 1000, height: int = 700) -> FirefoxTab:
        context = self.call("browsingContext.create", type="window")["context"]
        tab = self._tabs[context] = FirefoxTab(self, context)
        tab.call("browsingContext.setViewport", viewport={"width": width, "height": height})
        tab.call("browsingContext.navigate", url=url, wait="none")
        return tab


@contextmanager
def firefox(folder: Path):
    """Run a Firefox with its own profile until the block ends."""
    assert BROWSER is not None
    child = subprocess.Popen(
        [
            BROWSER,
            "--headless",
            "--no-remote",
            "--profile",
            folder,
            "--remote-debugging-port",
            "0",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = folder / "WebDriverBiDiServer.json"
        end = time.monotonic() + WAIT
        while not (told.exists() and "}" in told.read_text()):
            assert child.poll() is None, "Firefox did not start"
            assert time.monotonic() < end, "Firefox did not say its port"
            time.sleep(0.05)
        port = json.loads(told.read_text())["ws_port"]
        with connect(f"ws://127.0.0.1:{port}/session", max_size=None, open_timeout=WAIT) as socket:
            yield Firefox(socket)
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
