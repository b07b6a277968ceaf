"""SGLang's own page in Chromium plays a model that `lingbot serve` serves."""

import base64
import subprocess
from urllib.parse import quote

import pytest

from tests.support.chromium import chromium, needs_chromium
from tests.support.realtime_client import png
from tests.support.reference import tiny_world
from tests.support.serving import TOKEN, serving
from tests.support.sglang_modules import webui
from tests.support.static_server import static_server

pytestmark = needs_chromium
SIZE = "96x64"

CHOOSE_IMAGE = """(() => {
  const bytes = Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], 'first.png', {type: 'image/png'}));
  document.getElementById('firstFrame').files = files.files;
  document.getElementById('firstFrame').dispatchEvent(new Event('change'));
  return true;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def page():
    with static_server(webui()) as address:
        yield address


class Studio:
    """The page with its form filled in."""

    def __init__(self, browser, page, port, **fields):
        server = f"ws://127.0.0.1:{port}/v1/realtime_video/generate?token={TOKEN}"
        self.tab = browser.open(f"{page}/index.html?server={quote(server)}&model=built-in")
        self.tab.until("document.getElementById('historyList')?.children.length > 0")
        self.tab.ask(CHOOSE_IMAGE % base64.b64encode(png()).decode())
        self.set(size=SIZE, prompt="a courtyard", fps="16", **fields)

    def set(self, **fields):
        for name, value in fields.items():
            self.tab.ask(f"document.getElementById('{name}').value = {value!r}")

    def generate(self):
        self.tab.ask("document.getElementById('connectBtn').click()")

    def status(self):
        return self.tab.ask("document.getElementById('statusText').textContent")

    def history(self):
        return self.tab.ask("document.getElementById('historyList').innerText")

    def frames(self):
        return int(self.tab.ask("document.getElementById('frameText').textContent").split()[-1])

    def until_frames(self, count):
        self.tab.until(
            f"Number(document.getElementById('frameText').textContent.split(' ').pop()) >= {count}"
        )


@pytest.fixture
def served(page):
    from lingbot_cli.server.auth import AccessRules

    with serving(world=tiny_world(), rules=AccessRules(TOKEN, origins=(page,))) as found:
        yield found


@pytest.mark.parametrize("transport", ["raw", "jpeg", "webp"])
def test_every_format_plays_and_keys_and_prompts_act(browser, page, served, transport, tmp_path):
    studio = Studio(browser, page, served.port, transportFormat=transport, seed="70000")
    studio.generate()
    studio.until_frames(30)
    assert studio.status() == "Live", studio.history()
    studio.tab.ask("document.activeElement.blur()")
    for act in (
        lambda: studio.tab.key("keyDown", "w"),
        lambda: studio.tab.key("keyUp", "w"),
        lambda: studio.tab.ask("document.getElementById('sendPromptBtn').click()"),
    ):
        before = studio.tab.ask("nextEventId")
        act()
        studio.tab.until(f"nextEventId > {before} && playbackController.pendingEventId === 0")
    studio.until_frames(studio.frames() + 30)
    assert "server error" not in studio.history(), studio.history()
    assert "fps" in studio.tab.ask("document.getElementById('theoreticalFpsText').textContent")
    studio.tab.screenshot(tmp_path / "studio.png")
    studio.tab.ask("document.getElementById('stopBtn').click()")
    studio.tab.until("document.getElementById('statusText').textContent === 'Closing'")  # its last word
    studio.set(transportFormat="raw" if transport != "raw" else "webp")
    studio.generate()
    studio.until_frames(12)
    assert studio.status() == "Live", studio.history()
    studio.tab.leave()


def test_its_playback_controller_passes_its_own_test():
    done = subprocess.run(
        ["node", "playback_controller_test.js"],
        cwd=webui(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
