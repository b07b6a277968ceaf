"""JSON of every command has the keys and the types of the schema, and the pages list the same keys."""

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tests.support import json_output as schema
from tests.support.command import lingbot

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {
    "lingbot render --dry-run --json": schema.DryRun,
    "lingbot timeline check --json": schema.CheckedTimeline,
    "lingbot timeline plan --json": schema.PlannedTimeline,
    "lingbot batch --report FILE": schema.BatchReport,
    "lingbot diff --json": schema.Comparison,
    "lingbot doctor --json": schema.Doctor,
    "lingbot models list --json": schema.ListedModel,
    "lingbot models show MODEL --json": schema.InstalledModel,
    "lingbot models show MODEL --json, not installed": schema.AbsentModel,
    "lingbot models show MODEL --vram GB --json": schema.CardFit,
    "lingbot config show --json": schema.Setting,
    "lingbot bench --json": schema.Bench,
    "lingbot parity CASE --json": schema.Parity,
}
EVENTS = {
    ("outputs.md", "plan"): schema.RenderPlan,
    ("outputs.md", "chunk"): schema.Chunk,
    ("outputs.md", "warning, note"): schema.Message,
    ("outputs.md", "done"): schema.RenderDone,
    ("outputs.md", "error"): schema.Error,
    ("streaming.md", "stream"): schema.StreamState,
}


def checked(shape, text):
    """Return the value of a JSON text of the shape; no text in it is the word None."""
    TypeAdapter(shape).validate_json(text)
    assert not re.search(r"\bNone\b", text)
    return json.loads(text)


def rows(page):
    """Return the keys that a page's tables list, by the first cell."""
    found = re.findall(r"^\| (.+?) \| (.+) \|$", (DOCS / page).read_text(), re.M)
    return {head.replace("`", ""): set(re.findall(r"`([a-z_]+)`", keys)) for head, keys in found}


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A rendered video and the lines that its render printed."""
    folder = tmp_path_factory.mktemp("json")
    name = str(folder / "walk.mp4")
    arguments = ("render", "samples/courtyard-day.png", "--moves", "w-9", "--size", "64x64", "-o", name)
    return name, arguments, lingbot(*arguments, "--json").stdout.splitlines()


def test_the_page_lists_every_key():
    listed = rows("json.md")
    assert {command: listed[command] for command in ROWS} == {
        command: model.all_keys() for command, model in ROWS.items()
    }
    for (page, event), model in EVENTS.items():
        assert rows(page)[event] == model.all_keys() - {"event"}, event


def test_events_of_a_render(walk):
    for line in walk[2]:
        checked(schema.RENDER_EVENTS, line)
    refused = lingbot("render", "none.png", "--moves", "w-9", "-o", walk[0], "--json")
    assert checked(schema.RENDER_EVENTS, refused.stdout)["exit_code"] == 2


def test_values_of_other_commands(walk, tmp_path):
    name, arguments, _ = walk
    (tmp_path / "bad.yaml").write_text("timeline: 1\nevents:\n  - keys: x\n")
    assert checked(schema.DryRun, lingbot(*arguments, "--dry-run", "--overwrite", "--json").stdout)
    files = ("recipes/first-walk.yaml", str(tmp_path / "bad.yaml"), str(tmp_path / "none.yaml"))
    assert checked(list[schema.CheckedTimeline], lingbot("timeline", "check", *files, "--json").stdout)
    assert checked(schema.PlannedTimeline, lingbot("timeline", "plan", files[0], "--json").stdout)
    assert checked(schema.Comparison, lingbot("diff", name, name, "--json").stdout)
    assert checked(schema.Doctor, lingbot("doctor", "--json").stdout)
    assert checked(dict[str, schema.Setting], lingbot("config", "show", "--json").stdout)
    assert "None" not in lingbot("show", name).stdout


def test_models():
    assert checked(list[schema.ListedModel], lingbot("models", "list", "--json").stdout)
    assert checked(schema.InstalledModel, lingbot("models", "show", "built-in", "--json").stdout)
    absent = ("models", "show", "lingbot-world-fast")
    assert checked(schema.AbsentModel, lingbot(*absent, "--json").stdout)
    assert "None" not in lingbot(*absent).stdout
    cards = lingbot("models", "show", "built-in", "--vram", "8", "--json").stdout
    assert checked(list[schema.CardFit], cards)


def test_events_of_a_stream():
    arguments = ("samples/courtyard-day.png", "--moves", "w-9", "--size", "64x64", "--to", "null:")
    for line in lingbot("stream", *arguments, "--json").stdout.splitlines():
        checked(schema.STREAM_EVENTS, line)


def test_batch(tmp_path):
    image = str(DOCS.parent / "samples" / "courtyard-day.png")
    job = {"image": image, "moves": "w-5", "size": "32x32", "seed": 1, "output": "a.mp4"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(job))
    report = tmp_path / "report.json"
    command = ("batch", str(tmp_path / "jobs.jsonl"), "-o", str(tmp_path), "--allow-outside", "--json")
    done = lingbot(*command, "--report", str(report))
    for line in done.stdout.splitlines():
        checked(schema.BATCH_EVENTS, line)
    videos = checked(schema.BatchReport, report.read_text())["videos"]
    assert [(video["status"], video["exit_code"]) for video in videos] == [("rendered", 0)]
    again = lingbot(*command, "--report", str(report))
    assert again.code == 0
    assert checked(schema.BatchReport, report.read_text())["totals"] == {"skipped": 1}
