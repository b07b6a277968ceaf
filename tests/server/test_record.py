"""Recording of a play session."""

import json
import os
import subprocess
import sys

SCRIPT = """
import sys
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
