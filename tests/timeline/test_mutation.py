"""Valid timelines mutated at random: never a traceback, always a location."""

import json
import random
import re
from pathlib import Path

import pytest
import yaml

from lingbot_cli.timeline.diagnostics import SourceText
from lingbot_cli.timeline.load import parse_timeline
from tests.support.command import lingbot
from tests.support.timelines import try_schedule

LETTERS = "wasdijklqe"
PLACE = re.compile(r":[1-9]\d*:[1-9]\d*: .+; .+")
BITS = ['"', "'", "{", "}", "[", "]", ":", "- ", ",", "\n", "\t", "#", "&a ", "*a", "!!x ", "|", "é", "\x00", "~",
        "1e999", "-1", "nan", ".inf", "null", "true", "9" * 40, "prompt", "for", "at", "\u2028", "%"]  # fmt: skip


def timeline(rng: random.Random) -> dict:
    """Return a valid timeline with events of every type that needs no file."""

    def span():
        return rng.choice([2, 0.5, "1s", "750ms", "20f", "1c", "0:01.5"])

    def event():
        return rng.choice(
            [
                lambda: {"keys": "".join(rng.sample(LETTERS, rng.randint(0, 3))), "for": span()},
                lambda: {
                    "turn": {"yaw": rng.randint(-90, 90)},
                    "for": span(),
                    "ease": rng.choice(["in", "out"]),
                },
                lambda: {"move": {"forward": rng.randint(1, 3), "up": 0.5}, "for": span()},
                lambda: {"prompt": rng.choice(["it rains", "on", "a: b", "“dusk”"])},
                lambda: {"action": "the gate opens", "for": span(), "note": "loud"},
                lambda: {"marker": "here"},
                lambda: {"wait": span()},
                lambda: {"at": rng.randint(0, 5), "keys": "w", "until": rng.randint(6, 9)},
            ]
        )()

    header = {"timeline": 1, "prompt": "a courtyard", "seed": rng.randint(0, 99), "camera": {"fov": 70}}
    return {**header, "events": [event() for _ in range(rng.randint(1, 6))] + [{"keys": "w", "for": 1}]}


def written(rng: random.Random, said: dict) -> tuple[str, str]:
    if rng.random() < 0.5:
        return "t.yaml", yaml.safe_dump(
            said, sort_keys=False, default_flow_style=rng.choice([None, False, True])
        )
    events = said.pop("events")
    return "t.jsonl", "".join(json.dumps(row) + "\n" for row in [said, *events])


SLIPS = [
    lambda text, a, b, _: text[:a] + text[b:],
    lambda text, a, _, bit: text[:a] + bit + text[a:],
    lambda text, a, b, bit: text[:a] + bit + text[b:],
    lambda text, a, b, _: text[:b] + text[a:b] + text[b:],
    lambda text, a, b, _: text[:a] + text[a:b][::-1] + text[b:],
    lambda text, a, *_: text[:a],
]


def mutated(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 3)):
        a = rng.randint(0, len(text))
        text = rng.choice(SLIPS)(text, a, a + rng.randint(0, 12), rng.choice(BITS))
    return text


@pytest.mark.parametrize("seed", range(200))
def test_a_mutated_timeline_is_valid_or_has_locations(seed):
    rng = random.Random(seed)
    name, text = written(rng, timeline(rng))
    made, problems = try_schedule(parse_timeline(SourceText(name, text)), 3)
    assert problems == [], "the timeline was not good to begin with"
    assert made.frames > 0
    for _ in range(10):
        broken = mutated(rng, text)
        lines = broken.count("\n") + 1
        _, problems = try_schedule(parse_timeline(SourceText(name, broken)), 3)
        for problem in problems:
            assert 1 <= problem.location.line <= lines, (broken, problem)
            assert problem.location.column >= 1
            assert "; expected" in problem.message, problem


@pytest.mark.parametrize("seed", range(200, 220))
def test_the_command_exits_with_0_or_2_and_a_location(seed, tmp_path: Path):
    rng = random.Random(seed)
    name, text = written(rng, timeline(rng))
    file = tmp_path / name
    file.write_text(mutated(rng, text), encoding="utf-8")
    done = lingbot("timeline", "check", str(file))
    assert done.code in (0, 2)
    assert "Traceback" not in done.stderr
    assert done.code == 0 or PLACE.search(done.stderr)
