"""JSON Schemas of timelines and jobs files: they accept what lingbot accepts, and refuse common errors."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from lingbot_cli.batch.jobs import jobs_schema, read_jobs
from lingbot_cli.timeline.diagnostics import Problems, SourceText
from lingbot_cli.timeline.schema import timeline_schema
from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]
TIMELINES = [*sorted((ROOT / "recipes").glob("*.yaml")), ROOT / "lingbot_cli" / "timeline" / "scaffold.yaml"]
TIMELINE, JOBS = Draft202012Validator(timeline_schema()), Draft202012Validator(jobs_schema())
GOOD = (
    "{keys: w, for: 2s}",
    "{keys: '', at: 1, until: 1:02.5}",
    "{turn: {yaw: 90}, for: 32f, ease: in-out, note: x}",
    "{wait: 500ms}",
    "{wait: , for: 2}",
    "{orbit: {angle: 45, radius: 2}, for: 1m30s}",
    "{follow: [{forward: 1}], for: 3c}",
    "{poses: a.npy, scale: {fit: 1.0}, fps: 30}",
    "{prompt: rain, recache: true}",
    "{action: a bell, for: 1s}",
    "{end: true, at: 3s}",
    "{poses: a.npy}",
    "{poses: a.npy, until: 3s}",
)
WRONG = (
    "{keys: w}",
    "{keys: w, for: 2s, until: 3s}",
    "{wait: true, for: 2s, until: 3s}",
    "{poses: a.npy, for: 2s, until: 3s}",
    "{pan: 45}",
    "{keys: w, for: -1}",
    "{keys: w, for: two seconds}",
    "{turn: {yaw: ninety}, for: 2s}",
    "{turn: {jaw: 90}, for: 2s}",
    "{jump: 1, for: 2s}",
    "{keys: w, for: 2s, ease: bouncy}",
    "{prompt: ''}",
    "{end: false, at: 1s}",
    "{turn: {pitch: 171}, for: 1s}",
    "walk",
)


def accepted(tmp_path, event):
    """Return whether lingbot takes a timeline of one event."""
    (tmp_path / "a.npy").touch()
    file = tmp_path / "walk.yaml"
    file.write_text(f"events:\n  - {event}\n")
    done = lingbot("timeline", "check", str(file))
    return not any("walk.yaml:2" in line for line in done.stderr.splitlines())


@pytest.mark.parametrize("file", TIMELINES, ids=lambda path: path.name)
def test_recipes_fit_the_schema(file):
    assert [str(each.message) for each in TIMELINE.iter_errors(yaml.safe_load(file.read_text()))] == []


@pytest.mark.parametrize("event", [*GOOD, *WRONG])
def test_the_schema_decides_as_lingbot_does(tmp_path, event):
    valid = TIMELINE.is_valid({"timeline": 1, "events": [yaml.safe_load(event)]})
    assert valid == (event in GOOD)
    if not event.startswith("{poses"):
        assert accepted(tmp_path, event) == valid


def test_headers_and_jobs():
    for header in (
        {"fps": 0},
        {"timeline": 2},
        {"camera": {"fov": 200}},
        {"camera": {"lens": 1}},
        {"title": "a"},
    ):
        assert not TIMELINE.is_valid({**header, "events": []}), header
    for file in (ROOT / "recipes" / "batch").glob("*.yaml"):
        assert JOBS.is_valid(yaml.safe_load(file.read_text())), file
    for wrong in (
        {"jobs": [{"image": 3}]},
        {"jobs": [{"picture": "a"}]},
        {"jobs": [{"seeds": "1-8"}]},
        {"job": []},
    ):
        assert not JOBS.is_valid(wrong), wrong
    problems = Problems()
    read_jobs(SourceText("jobs.yaml", "jobs: [{image: a.png, moves: w-5, seeds: 1..8}]"), problems)
    assert not problems


def test_every_key_of_the_schema_is_described_by_its_event(tmp_path):
    file = tmp_path / "timeline.schema.json"
    done = lingbot("timeline", "schema", "-o", str(file))
    assert done.code == 0, done.stderr
    whole = json.loads(file.read_text())
    Draft202012Validator.check_schema(whole)
    assert whole == timeline_schema()
    assert all(event["description"] for event in whole["properties"]["events"]["items"]["anyOf"])
    assert json.loads(lingbot("timeline", "schema", "--jobs").stdout) == jobs_schema()
    assert lingbot("timeline", "schema", "-o", str(file)).code == 2
    assert lingbot("timeline", "schema", "-o", str(file), "--overwrite").code == 0


def test_keys_have_the_names_of_the_format():
    keys, *_ = timeline_schema()["properties"]["events"]["items"]["anyOf"]
    assert sorted(keys["properties"]) == ["at", "ease", "for", "keys", "note", "until"]
