"""Reports of a batch: tables, JSON and JUnit XML."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.markup import escape
from rich.table import Table

from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.batch.scheduler import TaskState
from lingbot_cli.files import write_file
from lingbot_cli.redact import redact
from lingbot_cli.runtime.memory import gigabytes
from lingbot_cli.ui.progress import duration_text

_COLOURS = {"rendered": "green", "skipped": "cyan", "stopped": "yellow"}
_NUMBERS = ("frames", "length", "memory", "seed", "time", "tries")


def plan_table(states: Sequence[TaskState], manifest: Manifest) -> Table:
    """Return the table of `--dry-run`: a line a video, the totals and what is the same for all above."""
    headings = ("video", "status", "size", "frames", "length", "memory", "seed", "prompt")
    return _table(_plan_totals(states, manifest), headings, [_plan_row(state) for state in states], first=2)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], first: int) -> Table:
    """Return a table without the columns, from `first` on, that are empty or alike; the title has what is alike."""
    columns = list(enumerate(zip(*rows, strict=True)))
    same = [
        i for i, texts in columns if i >= first and len(set(texts)) == 1 and (len(rows) > 1 or not texts[0])
    ]
    common = " · ".join(f"{headings[i]} {rows[0][i]}" for i in same if rows[0][i] and headings[i] != "status")
    table = Table(title=f"{title}\nall: {common}" if common else title, title_justify="left")
    shown = [i for i in range(len(headings)) if i not in same]
    for heading in (headings[i] for i in shown):
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*(row[i] for i in shown))
    return table


def _plan_row(state: TaskState) -> tuple[str, ...]:
    each, status = state.planned, state.result.status if state.result is not None else ""
    facts = ("", "", "", "")
    if each.size:
        length = duration_text(each.frames / each.fps)
        facts = (each.size, str(each.frames), length, gigabytes(each.memory))
    text = state.result.message if state.result is not None and state.result.message else _prompt(state)
    return escape(each.task.name), _coloured(status), *facts, str(each.seed), escape(redact(text))


def _plan_totals(states: Sequence[TaskState], manifest: Manifest) -> str:
    """Return the totals of a plan, with the time estimated from the videos rendered here before."""
    left = [state.planned for state in states if state.result is None]
    entries = [manifest.entry(state.planned.task.name) for state in states]
    timed = [entry for entry in entries if entry is not None and "seconds" in entry]
    frames, timed_frames = sum(each.frames for each in left), sum(entry["frames"] for entry in timed)
    seconds = sum(entry["seconds"] for entry in timed)
    time = (
        f"about {duration_text(seconds / timed_frames * frames)} on one worker"
        if timed_frames
        else "time unknown before the first video"
    )
    memory = gigabytes(max((each.memory for each in left), default=0))
    return f"{_count(len(states), 'video')}, {len(left)} to render · {frames} frames · {time} · {memory} a worker"


def _prompt(state: TaskState) -> str:
    return state.planned.task.request.overrides.prompt or ""


def _coloured(status: str) -> str:
    return f"[{_COLOURS.get(status, 'bold red')}]{status}[/]" if status else ""


def result_table(states: Sequence[TaskState]) -> Table:
    """Return the table at the end of a run: a line a video, the totals above."""
    rows = []
    for state in states:
        result = state.result
        assert result is not None
        rows.append(
            (
                escape(state.planned.task.name),
                _coloured(result.status),
                str(result.frames or ""),
                duration_text(result.seconds) if result.seconds else "",
                str(state.attempts or ""),
                escape(redact(result.message)),
            )
        )
    return _table(summary(states), ("video", "status", "frames", "time", "tries", "message"), rows, first=1)


def summary(states: Sequence[TaskState]) -> str:
    """Return the number of videos by status as one line."""
    counts = Counter(state.result.status for state in states if state.result is not None)
    return f"{_count(len(states), 'video')}: " + ", ".join(
        f"{number} {status}" for status, number in counts.items()
    )


def progress_line(state: TaskState) -> str:
    """Return the newest change of a video as one line."""
    name, result = state.planned.task.name, state.result
    if result is None:
        if state.progress is not None:
            return f"{name}: frame {state.progress.frames}/{state.progress.total} on {state.worker}"
        return f"{name}: started on {state.worker}" if state.attempts < 2 else f"{name}: try {state.attempts}"
    if result.status == "rendered":
        return f"{name}: rendered, {result.frames} frames in {duration_text(result.seconds)}"
    return f"{name}: {result.status}" + (f": {result.message}" if result.message else "")


def result_fields(state: TaskState) -> dict[str, Any]:
    """Return the result of a video as JSON fields; docs/batch.md lists them."""
    planned, result = state.planned, state.result
    assert result is not None
    return {
        "video": planned.task.name,
        "status": result.status,
        "image": str(planned.task.request.image),
        "prompt": _prompt(state),
        "seed": planned.seed,
        "size": planned.size,
        "frames": result.frames or planned.frames,
        "seconds": round(result.seconds, 3),
        "latents": result.latents,
        "recipe": planned.fingerprint,
        "tries": state.attempts,
        "worker": state.worker,
        "message": redact(result.message),
        "hint": result.hint,
        "exit_code": result.exit_code,
    }


def write_json(path: Path, states: Sequence[TaskState]) -> None:
    """Write the run as one JSON object."""
    counts = Counter(state.result.status for state in states if state.result is not None)
    report = {"videos": [result_fields(state) for state in states], "totals": dict(counts)}
    write_file(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n", make_folder=True)


def write_junit(path: Path, states: Sequence[TaskState]) -> None:
    """Write the run as JUnit XML, a test case a video."""
    results = [result_fields(state) for state in states]
    failed = sum(each["status"] not in ("rendered", "skipped") for each in results)
    suite = ElementTree.Element(
        "testsuite",
        name="lingbot batch",
        tests=str(len(results)),
        failures=str(failed),
        errors="0",
        skipped=str(sum(each["status"] == "skipped" for each in results)),
        time=f"{sum(each['seconds'] for each in results):.3f}",
    )
    for each in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname="lingbot.batch", name=each["video"], time=str(each["seconds"])
        )
        if each["status"] == "skipped":
            ElementTree.SubElement(case, "skipped", message="finished by an earlier run")
        elif each["status"] != "rendered":
            failure = ElementTree.SubElement(
                case, "failure", type=each["status"], message=_printable(each["message"])
            )
            failure.text = _printable(each["hint"] or "")
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
    write_file(path, text + "\n", make_folder=True)


def _printable(text: str) -> str:
    """Replace the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
