"""Quick command lines, at least one of every command, with files whose names and texts hold terminal escapes."""

import json
from pathlib import Path

from PIL import Image

from tests.support.reference import CASES, sample_image

ESCAPE = "\x1b]0;title\x07\x9b31m"
IMAGE = f"ö{ESCAPE}.png"
_MOVES = ("--moves", "w-3", "--size", "32x32")
_PROMPT = ("--prompt", f"…{ESCAPE}")

COMMAND_LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    "render": (
        ("render", IMAGE, *_MOVES, *_PROMPT, "-o", "a.mkv", "--overwrite"),
        ("render", IMAGE, *_MOVES, *_PROMPT, "-o", "a.mkv", "--overwrite", "--json"),
        ("render", IMAGE, *_MOVES, "--dry-run"),
        ("render", IMAGE, "--timeline", "bad.yaml"),
    ),
    "batch": (("batch", "jobs.yaml", "-o", "."), ("batch", "jobs.yaml", "-o", ".", "--dry-run", "--json")),
    "stream": (("stream", IMAGE, *_MOVES, "--to", "null:", "--duration", "3f"),),
    "play": (("play", f"none{IMAGE}"),),
    "serve": (("serve", "--image", f"none{IMAGE}"),),
    "show": (("show", "a.mkv"), ("show", "a.mkv", "--json"), ("show", IMAGE)),
    "sheet": (("sheet", "a.mkv", "-o", f"sheet{IMAGE}", "--overwrite"),),
    "diff": (("diff", "a.mkv", "a.mkv"), ("diff", "a.mkv", "a.mkv", "--json"), ("diff", IMAGE, IMAGE)),
    "camera-check": (("camera-check", "a.mkv"), ("camera-check", IMAGE)),
    "samples": (("samples",), ("samples", f"copy{ESCAPE}", "--overwrite")),
    "bench": (("bench", "--compare", f"{ESCAPE}.json", f"{ESCAPE}.json"),),
    "timeline": (
        ("timeline", "check", "walk.yaml", "--json"),
        ("timeline", "check", "bad.yaml"),
        ("timeline", "show", "walk.yaml"),
        ("timeline", "new"),
    ),
    "config": (("config", "show"), ("config", "show", "--json")),
    "models": (("models", "list"), ("models", "list", "--json"), ("models", "show", ESCAPE)),
    "doctor": (("doctor",), ("doctor", "--json")),
    "parity": (("parity", str(CASES[0])), ("parity", ESCAPE)),
}


def write_inputs(folder: Path) -> None:
    """Write the files that the command lines read."""
    Image.fromarray(sample_image(40, 48)).save(folder / IMAGE)
    prompt = json.dumps(f"ö…{ESCAPE}")
    (folder / "walk.yaml").write_text(f"timeline: 1\nprompt: {prompt}\nevents: [{{keys: w, for: 9f}}]\n")
    (folder / "bad.yaml").write_text(f"timeline: 1\nevents: [{{keys: {prompt}}}, {{{prompt}: 1}}]\n")
    job = {"image": IMAGE, "moves": "w-3", "size": "32x32", "output": f"job{ESCAPE}.mp4"}
    (folder / "jobs.yaml").write_text(json.dumps({"jobs": [job, {**job, "output": "x.mp4", "seed": 1}]}))
