"""The page in real browsers: keys, prompts, reload, a second tab, touch, a slow connection."""

from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.image import crop_to_aspect
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.server.auth import AccessRules
from lingbot_cli.server.service import SessionDefaults
from lingbot_cli.server.session_pool import PoolLimits
from lingbot_cli.timeline.schema import CameraSettings
from tests.support.chromium import chromium, needs_chromium
from tests.support.firefox import firefox, needs_firefox
from tests.support.image_motion import horizontal_shift
from tests.support.reference import sample_image
from tests.support.relay import Narrow
from tests.support.serving import TOKEN, serving

SAMPLES = Path(__file__).parents[2] / "samples"


CHROMIUM = pytest.param(chromium, marks=needs_chromium, id="chromium")
FIREFOX = pytest.param(firefox, marks=needs_firefox, id="firefox")
in_both = pytest.mark.parametrize("browser", [CHROMIUM, FIREFOX], indirect=True, scope="module")
in_chromium = pytest.mark.parametrize("browser", [CHROMIUM], indirect=True, scope="module")


@pytest.fixture(scope="module")
def browser(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def playing():
    offer = SessionDefaults(sample_image(), "a courtyard", height=32, width=48, camera=CameraSettings())
    with serving(PoolLimits(slots=1, grace_s=20), offer=offer) as served:
        yield f"http://127.0.0.1:{served.port}/?token={TOKEN}"


def yaw(tab):
    return float(tab.data()["yaw"])


@in_both
def test_keys_move_the_camera_and_the_prompt_is_applied(browser, playing, tmp_path):
    tab = browser.open(playing)
    tab.until("document.body.dataset.shown > 3")
    assert yaw(tab) == 0
    tab.key("keyDown", "l")
    tab.until("Number(document.body.dataset.yaw) > 10")
    tab.key("keyUp", "l")
    tab.chunks(2)
    turned = yaw(tab)
    tab.chunks(2)
    assert yaw(tab) == turned  # released keys are released
    tab.key("keyDown", "w")
    tab.until("Number(document.body.dataset.position.split(' ')[2]) > 0.2")
    tab.key("keyUp", "w")
    tab.ask("document.getElementById('prompt').value = 'it rains'")
    tab.ask("document.getElementById('send').click()")
    tab.until("document.body.dataset.prompt === 'it rains'")
    assert float(tab.ask("document.getElementById('fps').textContent")) > 0
    assert tab.ask("document.getElementById('latency').textContent").endswith(" s")
    tab.ask("document.getElementById('prompt').focus()")
    before = tab.data()["position"]
    tab.key("keyDown", "w")
    tab.key("keyUp", "w")
    tab.chunks(3)
    assert tab.data()["position"] == before  # what is typed is not walked
    tab.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 5000
    assert tab.wrong == []


SEEN = """(async () => {
  const screen = document.getElementById('screen'), seen = {};
  for (let i = 0; i < 1200 && Object.keys(seen).length < 24; i++) {
    await new Promise(requestAnimationFrame);
    const {width, height} = screen;
    const data = screen.getContext('2d').getImageData(0, 0, width, height).data;
    seen[document.body.dataset.shown] = [width, Array.from(data.filter((_, n) => n % 4 === 1))];
  }
  return seen;
})()"""


def motion_right(tab):
    """Return the median motion to the right in four frames, in pixels."""
    frames = {int(n): np.array(p, float).reshape(-1, width) for n, (width, p) in tab.ask(SEEN).items()}
    pairs = [(frames[n], frames[n + 4]) for n in frames if n + 4 in frames]
    assert len(pairs) >= 4
    return float(np.median([horizontal_shift(a, b) for a, b in pairs if a.shape == b.shape]))


@in_chromium
def test_in_the_built_in_model_a_turn_moves_the_image_the_other_way(browser):
    first = crop_to_aspect(np.array(Image.open(SAMPLES / "courtyard-day.png").convert("RGB")), 64, 112)
    offer = SessionDefaults(first, "a courtyard at day", height=64, width=112, camera=CameraSettings())
    with serving(offer=offer, world=load_model()) as served:
        tab = browser.open(f"http://127.0.0.1:{served.port}/?token={TOKEN}")
        tab.until("document.body.dataset.shown > 3")
        assert motion_right(tab) == 0
        for key, way in (("l", -1), ("j", 1)):
            tab.key("keyDown", key)
            tab.chunks(3)
            assert 6 <= way * motion_right(tab) <= 13  # eight degrees
            tab.key("keyUp", key)
            tab.chunks(2)


@in_both
def test_dragging_turns_the_camera_and_pause_stops_it(browser, playing):
    tab = browser.open(playing)
    tab.until("document.body.dataset.shown > 3")
    tab.drag(300, 200, right=80)
    tab.until("Number(document.body.dataset.yaw) > 10")
    tab.chunks(2)
    assert yaw(tab) == pytest.approx(80 * 0.15, abs=0.01)
    tab.ask("document.getElementById('pause').click()")
    tab.until("document.body.dataset.state === 'paused'")
    tab.ask("document.getElementById('pause').click()")
    tab.until("document.body.dataset.state === 'playing'")
    tab.ask("document.getElementById('seed').value = '7'")
    tab.ask("document.getElementById('restart').click()")
    tab.until("document.body.dataset.yaw === '0.000'")


@in_both
def test_a_reload_resumes_the_session_and_a_second_tab_waits(browser, playing):
    tab = browser.open(playing)
    tab.until("document.body.dataset.shown > 3")
    tab.key("keyDown", "j")
    tab.until("Number(document.body.dataset.yaw) < -10")
    tab.key("keyUp", "j")
    tab.chunks(2)
    there = yaw(tab)
    chunk = int(tab.data()["chunk"])
    tab.reload()
    tab.until(f"Number(document.body.dataset.chunk) > {chunk}")
    assert yaw(tab) == there
    second = browser.open(playing, 390, 780)
    second.until("document.body.dataset.state === 'waiting'")
    assert second.ask("document.documentElement.scrollWidth <= 390")
    tab.leave()
    second.until("document.body.dataset.state === 'playing'")
    assert second.ask("performance.getEntriesByType('resource').length") == 0  # one document, nothing else
    assert (tab.wrong, second.wrong) == ([], [])


@in_chromium
def test_touch_pads_walk(browser, playing):
    tab = browser.open(playing, 390, 780)
    tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "pointer", "value": "coarse"}])
    tab.until("document.body.dataset.shown > 3")
    x, y = tab.ask(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        "(document.querySelector('[data-key=w]').getBoundingClientRect())"
    )
    tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    tab.until("Number(document.body.dataset.position.split(' ')[2]) > 0.2")
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    tab.chunks(2)
    there = tab.data()["position"]
    tab.chunks(1)
    assert tab.data()["position"] == there


@in_chromium
def test_a_slow_connection_gets_smaller_frames(browser):
    offer = SessionDefaults(sample_image(), "a courtyard", height=96, width=192, camera=CameraSettings())
    with serving(offer=offer) as served, Narrow(served.port, bytes_a_second=80_000) as relay:
        tab = browser.open(f"http://127.0.0.1:{relay.port}/?token={TOKEN}")
        tab.until("document.body.dataset.shown > 0")
        assert tab.ask("document.getElementById('screen').width") == 192
        tab.until("document.getElementById('screen').width < 192")


@in_chromium
def test_the_page_stops_reconnecting_after_a_while(browser):
    offer = SessionDefaults(sample_image(), "a courtyard", height=32, width=48, camera=CameraSettings())
    token = "one of (ours), p+q&r/ä%41="
    with serving(offer=offer, rules=AccessRules(token)) as served:
        tab = browser.open(f"http://127.0.0.1:{served.port}/?token={quote(token, safe='')}")
        tab.until("document.body.dataset.shown > 3")
    tab.until("document.body.dataset.state === 'reconnecting'")
    tab.ask("performance.now = () => 1e9")  # much later
    tab.until("document.body.dataset.state === 'ended'")
    assert "restart" in tab.ask("document.getElementById('status').textContent")
    tab.ask("document.getElementById('restart').click()")
    tab.until("document.body.dataset.state === 'reconnecting'")
