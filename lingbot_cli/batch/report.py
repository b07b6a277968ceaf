"""How a farm's run went: a table for people, JSON for programs, JUnit XML for a CI server."""

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
from lingbot_cli.errors import write_errors
from lingbot_cli.redact import redact
from lingbot_cli.runtime.memory import gigabytes
from lingbot_cli.ui.progress import duration_text

_COLOURS = {"made": "green", "there": "cyan", "stopped": "yellow"}


def plan_table(rows: Sequence[TaskState], shelf: Manifest) -> Table:
    """What `--dry-run` prints: a line for each film, the totals above."""
    drawn = Table(title=_plan_totals(rows, shelf), title_justify="left")
    for heading in ("film", "", "size", "frames", "length", "memory", "seed", "prompt"):
        drawn.add_column(
            heading, justify="right" if heading in ("frames", "length", "memory", "seed") else "left"
        )
    for row in rows:
        each, status = row.planned, row.result.status if row.result is not None else ""
        facts = ("", "", "", "")
        if each.size:
            length = duration_text(each.frames / each.fps)
            facts = (each.size, str(each.frames), length, gigabytes(each.memory))
        said = row.result.message if row.result is not None and row.result.message else _prompt(row)
        drawn.add_row(escape(each.task.name), _coloured(status), *facts, str(each.seed), escape(redact(said)))
    return drawn


def _plan_totals(rows: Sequence[TaskState], shelf: Manifest) -> str:
    """How much there is to make and, by the films that were made here before, how long that takes."""
    left = [row.planned for row in rows if row.result is None]
    notes = [
        note for row in rows if (note := shelf.entry(row.planned.task.name)) is not None and "seconds" in note
    ]
    frames, made = sum(each.frames for each in left), sum(note["frames"] for note in notes)
    seconds = sum(note["seconds"] for note in notes)
    time = (
        f"about {duration_text(seconds / made * frames)} on one worker"
        if made
        else "time not known before a first film"
    )
    memory = gigabytes(max((each.memory for each in left), default=0))
    return f"{_count(len(rows), 'film')}, {len(left)} to make · {frames} frames · {time} · {memory} a worker"


def _prompt(row: TaskState) -> str:
    return row.planned.task.request.flags.prompt or ""


def _coloured(status: str) -> str:
    return f"[{_COLOURS.get(status, 'bold red')}]{status}[/]" if status else ""


def result_table(rows: Sequence[TaskState]) -> Table:
    """A line for each film, the totals above."""
    drawn = Table(title=summary(rows), title_justify="left")
    for heading in ("film", "", "frames", "time", "tries", "what happened"):
        drawn.add_column(
            heading, justify="right" if heading in ("frames", "time", "tries") else "left", overflow="fold"
        )
    for row in rows:
        outcome = row.result
        assert outcome is not None
        drawn.add_row(
            escape(row.planned.task.name),
            _coloured(outcome.status),
            str(outcome.frames or ""),
            duration_text(outcome.seconds) if outcome.seconds else "",
            str(row.attempts or ""),
            escape(redact(outcome.message)),
        )
    return drawn


def summary(rows: Sequence[TaskState]) -> str:
    """The totals in a sentence."""
    counts = Counter(row.result.status for row in rows if row.result is not None)
    return f"{_count(len(rows), 'film')}: " + ", ".join(
        f"{number} {status}" for status, number in counts.items()
    )


def progress_line(row: TaskState) -> str:
    """What has just happened to a film, in a line."""
    name, outcome = row.planned.task.name, row.result
    if outcome is None:
        if row.progress is not None:
            return f"{name}: frame {row.progress.frames}/{row.progress.total} on {row.worker}"
        return f"{name}: begun on {row.worker}" if row.attempts < 2 else f"{name}: try {row.attempts}"
    if outcome.status == "made":
        return f"{name}: made, {outcome.frames} frames in {duration_text(outcome.seconds)}"
    return f"{name}: {outcome.status}" + (f": {outcome.message}" if outcome.message else "")


def result_fields(row: TaskState) -> dict[str, Any]:
    """One film for a program; the README lists the keys."""
    planned, outcome = row.planned, row.result
    assert outcome is not None
    return {
        "film": planned.task.name,
        "status": outcome.status,
        "image": str(planned.task.request.image),
        "prompt": _prompt(row),
        "seed": planned.seed,
        "size": planned.size,
        "frames": outcome.frames or planned.frames,
        "seconds": round(outcome.seconds, 3),
        "latents": outcome.latents,
        "recipe": planned.recipe,
        "tries": row.attempts,
        "hand": row.worker,
        "message": redact(outcome.message),
        "hint": outcome.hint,
        "exit_code": outcome.exit_code,
    }


def write_json(path: Path, rows: Sequence[TaskState]) -> None:
    """The whole run as one JSON object."""
    counts = Counter(row.result.status for row in rows if row.result is not None)
    report = {"films": [result_fields(row) for row in rows], "totals": dict(counts)}
    _write(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def write_junit(path: Path, rows: Sequence[TaskState]) -> None:
    """The whole run as JUnit XML: a test for each film; those that were there are skipped ones."""
    said = [result_fields(row) for row in rows]
    failed = sum(each["status"] not in ("made", "there") for each in said)
    suite = ElementTree.Element(
        "testsuite",
        name="lingbot batch",
        tests=str(len(said)),
        failures=str(failed),
        errors="0",
        skipped=str(sum(each["status"] == "there" for each in said)),
        time=f"{sum(each['seconds'] for each in said):.3f}",
    )
    for each in said:
        case = ElementTree.SubElement(
            suite, "testcase", classname="lingbot.batch", name=each["film"], time=str(each["seconds"])
        )
        if each["status"] == "there":
            ElementTree.SubElement(case, "skipped", message="finished by an earlier run")
        elif each["status"] != "made":
            failure = ElementTree.SubElement(
                case, "failure", type=each["status"], message=_printable(each["message"])
            )
            failure.text = _printable(each["hint"] or "")
    ElementTree.indent(suite)
    _write(path, ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n")


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _write(path: Path, text: str) -> None:
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
