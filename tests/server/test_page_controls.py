"""Controls of the page in real browsers: prompts, files to save, start screen, gamepad, screen readers, layout."""

import base64
import io
import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.image import crop_to_aspect
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.server.service import SessionDefaults
from lingbot_cli.timeline.schema import CameraSettings
from tests.support.chromium import chromium, needs_chromium
from tests.support.firefox import firefox, needs_firefox
from tests.support.realtime_client import png
from tests.support.reference import sample_image
from tests.support.serving import TOKEN, serving

SAMPLES = Path(__file__).parents[2] / "samples"
SCREENS = Path(__file__).parent / "screens"
BROWSERS = {"chromium": chromium, "firefox": firefox}

# Collects what the page would download.
CATCH_FILES = """(() => {
  window.saved = [];
  const create = URL.createObjectURL;
  URL.createObjectURL = (blob) => { window.saved.push({blob}); return create.call(URL, blob); };
  HTMLAnchorElement.prototype.click = function () { window.saved.at(-1).name = this.download; };
  return true;
})()"""
READ_FILE = """(async () => {
  const bytes = new Uint8Array(await window.saved.at(-1).blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
})()"""
NOTE_CHUNKS = """(() => {
  window.chunks = [];
  const note = () => window.chunks.push(Number(document.body.dataset.chunk));
  new MutationObserver(note).observe(document.body, {attributes: true, attributeFilter: ['data-chunk']});
  return true;
})()"""
CHOOSE_IMAGE = """(() => {
  const bytes = Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], 'first.png', {type: 'image/png'}));
  document.getElementById('image-file').files = files.files;
  document.getElementById('image-file').dispatchEvent(new Event('change'));
  return true;
})()"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("chromium", marks=needs_chromium),
        pytest.param("firefox", marks=needs_firefox),
    ],
)
def browser(request, tmp_path_factory):
    with BROWSERS[request.param](tmp_path_factory.mktemp("profile")) as found:
        found.name = request.param
        yield found


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def start_screen(model):
    with serving(offer=SessionDefaults(), world=model) as served:
        yield f"http://127.0.0.1:{served.port}/?token={TOKEN}"


@pytest.fixture(scope="module")
def courtyard(model):
    first = crop_to_aspect(np.array(Image.open(SAMPLES / "courtyard-dusk.png").convert("RGB")), 64, 112)
    offer = SessionDefaults(first, "a stone courtyard at dusk", height=64, width=112, camera=CameraSettings())
    with serving(offer=offer, world=model) as served:
        yield f"http://127.0.0.1:{served.port}/?token={TOKEN}"


@pytest.fixture(scope="module")
def without_image():
    with serving(offer=SessionDefaults(height=32, width=48)) as served:
        yield f"http://127.0.0.1:{served.port}/?token={TOKEN}"


@pytest.fixture
def tab(browser, courtyard):
    tab = browser.open(courtyard)
    tab.until("document.body.dataset.shown > 3")
    yield tab
    tab.leave()


def click(tab, name):
    tab.ask(f"document.getElementById('{name}').click()")


def saved(tab):
    """Return the name and bytes of the file that was saved last."""
    tab.until("window.saved.length && window.saved.at(-1).name")
    name = tab.ask("window.saved.at(-1).name")
    return name, base64.b64decode(tab.ask(READ_FILE))


def test_a_suggested_prompt_is_pending_until_its_chunk(tab):
    pressed = "[...document.querySelectorAll('#suggestions [aria-pressed=true]')].map((b) => b.textContent)"
    tab.until(f"({pressed})[0] === 'dusk'")
    assert tab.ask("document.querySelectorAll('#suggestions button').length") == 4
    tab.ask("document.querySelector('#suggestions button:nth-child(3)').click()")
    assert tab.ask("document.getElementById('prompt-state').textContent") == "pending"
    tab.until("document.getElementById('prompt-state').textContent === 'applied'")
    assert tab.ask(pressed) == ["night"]
    assert tab.data()["prompt"] == "a stone courtyard at night"


def test_the_frame_and_the_walk_are_saved(tab, tmp_path):
    tab.ask(CATCH_FILES)
    click(tab, "save-image")
    name, data = saved(tab)
    assert name.endswith(".png")
    assert Image.open(io.BytesIO(data)).size == (112, 64)
    tab.key("keyDown", "l")
    tab.until("Number(document.body.dataset.yaw) > 10")
    assert tab.ask("[...document.querySelectorAll('#keys .held')].map((key) => key.textContent)") == ["→"]
    tab.key("keyUp", "l")
    tab.chunks(1)
    click(tab, "save-walk")
    tab.until("window.saved.length === 2")
    name, data = saved(tab)
    assert name == "walk.jsonl"
    (tmp_path / name).write_bytes(data)
    lines = [json.loads(line) for line in data.decode().splitlines()]
    assert lines[0]["prompt"] == "a stone courtyard at dusk"
    assert next(line["keys"] for line in lines if "keys" in line) == "l"
    assert lines[-1]["end"]
    assert "walk.jsonl" in tab.ask("document.getElementById('message').textContent")


def test_the_video_is_recorded_as_shown(tab, tmp_path):
    tab.ask(CATCH_FILES)
    click(tab, "save-video")
    assert tab.ask("document.getElementById('save-video').ariaPressed") == "true"
    now = int(tab.data()["shown"])
    tab.until(f"document.body.dataset.shown > {now + 24}")
    click(tab, "save-video")
    name, data = saved(tab)
    (tmp_path / name).write_bytes(data)
    command = [
        "ffprobe",
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=width,height,nb_read_frames",
    ]
    found = subprocess.run(
        [*command, "-of", "json", tmp_path / name], capture_output=True, check=True, timeout=60
    )
    (stream,) = json.loads(found.stdout)["streams"]
    assert (stream["width"], stream["height"]) == (672, 384)
    assert int(stream["nb_read_frames"]) >= 8


def test_a_page_without_an_image_asks_for_one(browser, without_image):
    tab = browser.open(without_image, 390, 780)
    tab.until("document.body.dataset.state === 'choosing'")
    assert not tab.ask("document.getElementById('start').hidden")
    assert tab.ask("document.documentElement.scrollWidth") == 390
    tab.ask(CHOOSE_IMAGE % base64.b64encode(png()).decode())
    tab.until("document.body.dataset.shown > 3")
    assert tab.ask("document.getElementById('start').hidden")
    # Another image starts another session, from its first chunk.
    tab.chunks(1)
    resume = tab.ask("sessionStorage.getItem('resume')")
    tab.ask(NOTE_CHUNKS)
    tab.ask(CHOOSE_IMAGE % base64.b64encode(png()).decode())
    tab.until("window.chunks.includes(0) && document.body.dataset.shown > 3")
    assert tab.ask("sessionStorage.getItem('resume')") != resume
    tab.leave()
    assert tab.wrong == []


def test_a_sample_is_chosen_on_the_start_screen(browser, start_screen):
    tab = browser.open(start_screen, 768, 1024)
    tab.until("document.body.dataset.state === 'choosing'")
    names = "[...document.querySelectorAll('.card')].map((card) => card.textContent)"
    assert tab.ask(names) == ["day", "dusk", "night", "snow"]
    tab.ask("document.querySelectorAll('.card')[2].click()")
    tab.until("document.body.dataset.shown > 3")
    assert tab.data()["prompt"] == "a stone courtyard at night"
    middle = "getContext('2d').getImageData(56, 4, 1, 1).data"
    red, _, blue = tab.ask(f"[...document.getElementById('screen').{middle}]")[:3]
    assert blue > red + 20  # the sky of that sample
    tab.leave()
    assert tab.wrong == []


def test_other_files_are_not_samples():
    for name in ("sea-gate-day", "day", "..%2fpyproject.toml", "%2e%2e/%2e%2e/pyproject.toml"):
        with serving() as served, pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(
                f"http://127.0.0.1:{served.port}/samples/{name}.jpg?token={TOKEN}", timeout=30
            )


def test_a_restart_takes_the_walking_speed_that_is_chosen(tab):
    def step():
        """Return the way in one chunk with a key held."""
        tab.key("keyDown", "w")
        tab.chunks(2)
        first = tab.data()
        tab.chunks(2)
        last = tab.data()
        tab.key("keyUp", "w")
        moved = [float(each["position"].split(" ")[2]) for each in (first, last)]
        return (moved[1] - moved[0]) / (int(last["chunk"]) - int(first["chunk"]))

    normal = step()
    for speed, factor in (("2", 2), ("1", 1)):
        tab.ask(f"document.getElementById('speed').value = '{speed}'")
        click(tab, "restart")
        tab.until("Number(document.body.dataset.chunk) < 2 && document.body.dataset.state === 'playing'")
        assert step() == pytest.approx(factor * normal, rel=0.01)


def test_a_sample_that_cannot_be_loaded_is_an_error(browser, start_screen):
    tab = browser.open(start_screen)
    tab.until("document.body.dataset.state === 'choosing'")
    tab.ask("(window.fetch = async () => { throw new TypeError('no network'); }, true)")
    tab.ask("document.querySelector('.card').click()")
    tab.until("document.getElementById('start-note').textContent.includes('no network')")
    tab.leave()


def test_what_cannot_be_sent_is_said(browser):
    offer = SessionDefaults(sample_image(), "a courtyard", height=32, width=48, camera=CameraSettings())
    with serving(offer=offer) as served:
        tab = browser.open(f"http://127.0.0.1:{served.port}/?token={TOKEN}")
        tab.until("document.body.dataset.shown > 3")
    tab.until("document.body.dataset.state === 'reconnecting'")
    click(tab, "send")
    assert "the prompt was not sent" in tab.ask("document.getElementById('message').textContent")
    assert tab.ask("document.getElementById('prompt-state').textContent") == ""
    click(tab, "save-walk")
    assert "the walk cannot be saved" in tab.ask("document.getElementById('message').textContent")
    tab.leave()


def test_a_gamepad_walks_looks_and_pauses(tab):
    buttons = "Array.from({length: 16}, () => ({pressed: false}))"
    pad = f"{{id: 'Pad', mapping: 'standard', axes: [0.7, -0.7, 1, 0], buttons: {buttons}}}"
    tab.ask(f"(window.pad = {pad}, navigator.getGamepads = () => [window.pad], true)")
    tab.until("Number(document.body.dataset.yaw) > 20")
    assert tab.ask("[...document.querySelectorAll('#keys .held')].map((key) => key.textContent)") == [
        "W",
        "D",
    ]
    tab.ask("(window.pad.axes = [0, 0, 0, 0], window.pad.buttons[9].pressed = true)")
    tab.until("document.body.dataset.state === 'paused'")
    assert tab.ask("document.querySelectorAll('.held').length") == 0


def test_pads_work_for_screen_readers(browser, courtyard):
    tab = browser.open(courtyard, 390, 780)
    tab.until("document.body.dataset.shown > 3")
    buttons = tab.ask(
        "[...document.querySelectorAll('#pads button')].map((b) => b.ariaLabel + ' ' + (b.offsetHeight >= 44))"
    )
    assert len(buttons) == 10
    assert all(each.endswith("true") for each in buttons)
    assert tab.ask("document.querySelector('[data-key=w]').closest('[aria-hidden]')") is None
    tab.ask("document.querySelector('[data-key=w]').click()")  # as assistive technology does
    tab.until("Number(document.body.dataset.position.split(' ')[2]) > 0.1")
    tab.until("document.querySelectorAll('.held').length === 0")
    tab.leave()


def test_controls_fade_and_return(tab):
    tab.until("document.body.classList.contains('idle')")
    opacity = "Number(getComputedStyle(document.getElementById('dock')).opacity)"
    tab.until(f"{opacity} === 0")
    tab.key("keyDown", "j")
    tab.until(f"{opacity} === 1")
    tab.key("keyUp", "j")


def test_small_frames_are_enlarged_by_whole_numbers(tab):
    width, height = tab.ask(
        "(({clientWidth, clientHeight}) => [clientWidth, clientHeight])(document.getElementById('screen'))"
    )
    assert width % 112 == 0
    assert height * 112 == width * 64
    assert width >= 672


def difference(path, reference):
    """Return the mean difference of two pictures, and the share of their parts that differ much."""
    size = (Image.open(reference).width // 8, Image.open(reference).height // 8)
    pictures = [
        np.array(Image.open(p).convert("RGB").resize(size, Image.Resampling.BOX), float)
        for p in (path, reference)
    ]
    parts = np.abs(pictures[0] - pictures[1]).max(axis=2)
    return parts.mean(), (parts > 40).mean()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024), (1440, 900), (740, 360)])
@pytest.mark.parametrize("name", ["play", "start"])
def test_the_page_looks_as_it_did(browser, courtyard, start_screen, tmp_path, name, width, height):
    tab = browser.open(courtyard if name == "play" else start_screen, width, height)
    tab.until(
        "document.body.dataset.shown > 8" if name == "play" else "document.body.dataset.state === 'choosing'"
    )
    if name == "play":
        click(tab, "pause")
        tab.until("document.body.dataset.state === 'paused'")
    assert tab.ask("document.documentElement.scrollWidth") == width
    outside = """[...document.querySelectorAll('button, input, select, #screen')].filter((each) => {
      const {left, right, width} = each.getBoundingClientRect();
      return width && each.checkVisibility() && !each.closest('#suggestions') && (left < 0 || right > innerWidth);
    }).map((each) => each.id)"""
    assert tab.ask(outside) == []
    tab.ask("document.body.classList.remove('idle')")
    tab.until("getComputedStyle(document.getElementById('top')).opacity === '1'")
    picture = tmp_path / "now.png"
    tab.screenshot(picture)
    tab.leave()
    reference = SCREENS / f"{browser.name}-{name}-{width}.jpg"
    if os.environ.get("NEW_SCREENS"):  # after a change of the page; look at them
        half = Image.open(picture).convert("RGB").resize((width // 2, height // 2), Image.Resampling.LANCZOS)
        half.save(reference, quality=85)
    mean, share = difference(picture, reference)
    assert mean < 8
    assert share < 0.05
