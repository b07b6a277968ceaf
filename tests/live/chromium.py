"""A real Chromium, driven over its debugging protocol."""

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

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
WAIT = 60.0
CODES = {letter: (f"Key{letter.upper()}", ord(letter.upper())) for letter in "wasdijklqe"}


class Tab:
    """One page; every wait is bounded."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._number = 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            said = json.loads(self._socket.recv(WAIT))
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
        raise AssertionError(f"{method} was not answered")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            # While a page loads there may be no body yet.
            if value := self.ask(f"document.body && ({expression})"):
                return value
            time.sleep(0.05)
        raise AssertionError(
            f"never true: {expression}; {self.data()}; {self.ask('document.body.innerText')}"
        )

    def data(self) -> dict[str, str]:
        return self.ask("({...document.body.dataset})")

    def key(self, kind: str, letter: str) -> None:
        code, number = CODES[letter]
        self.call("Input.dispatchKeyEvent", type=kind, key=letter, code=code, windowsVirtualKeyCode=number)

    def chunks(self, count: int) -> None:
        """Wait until so many more chunks have arrived."""
        now = int(self.data().get("chunk", -1))
        self.until(f"Number(document.body.dataset.chunk) >= {now + count}")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets = ExitStack()

    def open(self, url: str, width: int = 1000, height: int = 700) -> Tab:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            found = json.load(answer)
        socket = self._sockets.enter_context(
            connect(found["webSocketDebuggerUrl"], max_size=None, open_timeout=WAIT)
        )
        tab = Tab(socket)
        tab.call("Page.enable")
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
    """A Chromium of its own profile; ended with the block."""
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
        browser = Browser(int(told.read_text().split("\n")[0]))
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
