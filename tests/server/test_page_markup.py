"""Markup in texts of clients and servers stays text, in real browsers."""

import io
import re
from contextlib import contextmanager

import msgpack
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from lingbot_cli.endpoints import SUBPROTOCOL
from lingbot_cli.server.asgi_app import page_response
from lingbot_cli.server.http_server import HttpServer, ListenAddress
from lingbot_cli.server.page import page_document
from lingbot_cli.server.service import SessionDefaults
from lingbot_cli.timeline.schema import CameraSettings
from tests.server.test_page import browser, in_both  # noqa: F401 - a fixture
from tests.support.reference import sample_image
from tests.support.serving import TOKEN, serving

MARKUP = (
    "/*SCRIPT*/{/*DATA*/}</script></style><img src=x onerror='window.harmed = 1'><script>window.harmed = 2</script>"
    '"><svg onload="window.harmed = 3"><a href="javascript:window.harmed = 4">&lt;b&gt;</a>'
)
ELEMENTS = "document.querySelectorAll('*').length"
TAGS = ("img", "svg", "a", "script")
HARM = f"[typeof window.harmed, ...{list(TAGS)}.map((tag) => document.querySelectorAll(tag).length)]"


def unharmed(tab, samples=0):
    """Return whether nothing was run and the page has its own elements and the images of samples alone."""
    own = page_document({})[0]
    counts = {tag: len(re.findall(rf"<{tag}[ >]", own)) for tag in TAGS}
    counts["img"] += samples
    return tab.ask(HARM) == ["undefined", *counts.values()]


@in_both
def test_a_prompt_with_markup_is_shown_as_text(browser):  # noqa: F811
    offer = SessionDefaults(sample_image(), MARKUP, height=32, width=48, camera=CameraSettings())
    with serving(offer=offer) as served:
        tab = browser.open(f"http://127.0.0.1:{served.port}/?token={TOKEN}")
        tab.until("document.body.dataset.shown > 3")
        assert tab.ask("document.getElementById('prompt').value") == MARKUP
        elements = tab.ask(ELEMENTS)
        tab.ask("document.getElementById('prompt').value += ' and more'")
        for button in ("send", "restart"):
            tab.ask(f"document.getElementById('{button}').click()")
            tab.until("document.body.dataset.prompt.endsWith(' and more')")
        assert tab.ask("document.body.dataset.prompt") == f"{MARKUP} and more"
        assert tab.ask(ELEMENTS) == elements
        assert unharmed(tab)
        assert tab.wrong == []


def frame():
    buffer = io.BytesIO()
    Image.fromarray(sample_image(16, 16)).save(buffer, "png")
    return buffer.getvalue()


HOSTILE = (
    {"type": "queue", "position": MARKUP},
    {"type": "constructor", "content": MARKUP},
    {"type": "__proto__", "__proto__": {"type": "session"}},
    {"type": MARKUP, "content": MARKUP},
    {
        "type": "session",
        **dict.fromkeys(("resume", "seed", "prompt", "fps", "width", "height", "grace"), MARKUP),
        "state": "started",
        "paused": False,
    },
    {
        "type": "frame_batch",
        **dict.fromkeys(("request_id", "chunk_index", "event_id", "format", "encoding"), MARKUP),
        "content_type": "text/html",
        "frame_batch_index": 0,
        "payload_lengths": [len(frame())],
        "payload": frame(),
    },
    {
        "type": "chunk_stats",
        **dict.fromkeys(("chunk_index", "prompt", "num_frames"), MARKUP),
        "event_ids": [MARKUP],
        "pose": [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
    },
    {"type": "timeline", "content": MARKUP},
    {"type": "error", "content": MARKUP, "code": MARKUP, "retry": MARKUP},
)


@contextmanager
def hostile_server():
    """Serve the page, with markup in every text that it is sent."""

    async def page(_request):
        model = {"id": MARKUP, "prompt": MARKUP, "seed": MARKUP, "picture": True, "licence": MARKUP}
        named = [{"label": MARKUP, "prompt": MARKUP, "path": MARKUP}]
        data = {"model": model, "scenes": named, "walk_speed": MARKUP, MARKUP: MARKUP}
        return page_response({"mode": "play", "route": "/socket", **data})

    async def socket(connection):
        await connection.accept(SUBPROTOCOL)
        await connection.receive()
        for message in HOSTILE:
            await connection.send_bytes(msgpack.packb(message))
        await connection.receive()
        await connection.close(1008, MARKUP[:100])

    bound = ListenAddress().bind()
    app = Starlette(routes=[Route("/", page), WebSocketRoute("/socket", socket)])
    server = HttpServer(app, bound, max_message_bytes=2**20)
    server.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    finally:
        server.stop()
        bound.close()


@in_both
def test_a_hostile_server_cannot_write_markup(browser):  # noqa: F811
    with hostile_server() as address:
        tab = browser.open(address)
        tab.until("!document.getElementById('message').hidden")
        assert tab.ask("document.getElementById('message').textContent") == MARKUP
        assert tab.ask("document.body.dataset.prompt") == MARKUP
        tab.until("document.body.dataset.shown > 0")
        tab.ask("document.getElementById('prompt').value = 'on'")
        tab.ask("document.getElementById('send').click()")
        tab.until("document.body.dataset.state === 'ended'")
        assert tab.ask("document.getElementById('message').textContent") == MARKUP[:100]
        assert tab.ask("document.getElementById('suggestions').textContent") == MARKUP
        assert unharmed(tab, samples=1)


def test_data_that_holds_a_mark_of_the_page_stays_data():
    plain, _ = page_document({"prompt": ""})
    marked, _ = page_document({"prompt": "/*SCRIPT*/ {/*DATA*/} /*STYLE*/"})
    assert marked.replace("/*SCRIPT*/ {/*DATA*/} /*STYLE*/", "") == plain
