"""Recording of a play session."""

import json
import os
import subprocess
import sys

from tests.support.realtime_client import init

SCRIPT = """
import sys

from tests.support.realtime_client import init
from pathlib import Path
from types import SimpleNamespace

from lingbot_cli.server.input_queue import SampledInput
from lingbot_cli.server.record import SessionRecorder
from lingbot_cli.server.input_to_control import TimelineController

controller = TimelineController(3, {"prompt": "caf\\u00e9 \\u65e5\\u672c"})
controller.control(SampledInput(None, ("w", "", ""), ()), ())
recorder = SessionRecorder(Path(sys.argv[1]))
recorder.chunk_sent(SimpleNamespace(controller=controller, sent_frames=9))
recorder.write()
"""


def test_any_prompt_is_written_under_any_locale(tmp_path):
    path = tmp_path / "walk.jsonl"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(path)], env=os.environ | plain, check=True, timeout=120)
    header = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert header["prompt"] == "caf\N{LATIN SMALL LETTER E WITH ACUTE} \u65e5\u672c"


def test_a_client_gets_its_session_as_a_timeline(served):
    with served.client() as client:
        client.send(**init(camera={}))
        client.until("chunk_stats")
        client.event("camera_actions", {"mode": "state", "transitions": [{"actions": ["w"]}]}, 1)
        while 1 not in client.until("chunk_stats")["event_ids"]:
            pass
        client.event("timeline")
        lines = [json.loads(line) for line in client.until("timeline")["content"].splitlines()]
        client.event("timeline")
        assert client.until("error")["code"] == "too_fast"
    assert lines[0] == {"timeline": 1, "prompt": "a courtyard"} | lines[0]
    assert [line["keys"] for line in lines if "keys" in line] == ["w"]
    assert lines[-1]["end"]


def test_published_steps_have_no_timeline(served):
    with served.client() as client:
        client.send(**init(extensions=True))
        client.until("chunk_stats")
        client.event("timeline")
        assert "camera" in client.until("error")["content"]
