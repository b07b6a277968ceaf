"""A real Chromium, controlled over its debugging protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.browser import WAIT, Tab

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
CODES = {letter: (f"Key{letter.upper()}", ord(letter.upper())) for letter in "wasdijklqe"}


class ChromiumTab(Tab):
    """One page of a Chromium."""

    def __init__(self, socket: Any) -> None:
        self.wrong = []
        self._socket = socket
        self._number = 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            said = json.loads(self._socket.recv(WAIT))
            if said.get("method") == "Runtime.exceptionThrown":
                self.wrong.append(said["params"]["exceptionDetails"]["text"])
            if said.get("method") == "Log.entryAdded":
                self.wrong.append(said["params"]["entry"]["text"])
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
        raise AssertionError(f"{method} was not answered")

    def ask(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, kind: str, letter: str) -> None:
        code, number = CODES[letter]
        self.call("Input.dispatchKeyEvent", type=kind, key=letter, code=code, windowsVirtualKeyCode=number)

    def drag(self, x: int, y: int, right: int) -> None:
        for kind, at in (("mousePressed", x), ("mouseMoved", x + right), ("mouseReleased", x + right)):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1
            )

    def reload(self) -> None:
        self.call("Page.reload")

    def leave(self) -> None:
        self.call("Page.navigate", url="about:blank")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


class Chromium:
    """A running Chromium."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets = ExitStack()

    def open(self, url: str, width: int = 1000, height: int = 700) -> ChromiumTab:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            found = json.load(answer)
        socket = self._sockets.enter_context(
            connect(found["webSocketDebuggerUrl"], max_size=None, open_timeout=WAIT)
        )
        tab = ChromiumTab(socket)
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        tab.call("Page.navigate", url=url)
        return tab

    def close(self) -> None:
        self._sockets.close()


@contextmanager
def chromium(folder: Path):
    """Run a Chromium with its own profile until the block ends."""
    assert BROWSER is not None
    child = subprocess.Popen(
        [
            *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
            *(f"--user-data-dir={folder}", "--no-first-run", "--disable-dev-shm-usage", "--mute-audio"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
            *("--disable-backgrounding-occluded-windows", "about:blank"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    browser = None
    try:
        told = folder / "DevToolsActivePort"
        end = time.monotonic() + WAIT
        while not (told.exists() and told.read_text().count("\n")):
            assert child.poll() is None, "Chromium did not start"
            assert time.monotonic() < end, "Chromium did not say its port"
            time.sleep(0.05)
        browser = Chromium(int(told.read_text().split("\n")[0]))
        yield browser
    finally:
        if browser is not None:
            browser.close()
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)
