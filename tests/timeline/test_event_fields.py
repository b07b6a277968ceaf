"""Limits of an event's texts and amounts."""

import pytest

from tests.support.timelines import find_problems


@pytest.mark.parametrize(
    ("event", "largest", "beyond"),
    [
        ("{{prompt: {}}}", "x" * 10_000, "x" * 10_001),
        ("{{note: x, marker: {}}}", "x" * 10_000, "x" * 10_001),
        ("{{move: {{forward: {}}}, for: 1s}}", "100000", "100000.5"),
        ("{{move: {{up: {}}}, for: 1s}}", "-100000", "-100000.5"),
        ("{{turn: {{yaw: {}}}, for: 1s}}", "100000", "100001"),
        ("{{turn: {{roll: {}}}, for: 1s}}", "-100000", "-100001"),
        ("{{turn: {{pitch: {}}}, for: 1s}}", "170", "170.5"),
        ("{{turn: {{pitch: {}}}, for: 1s}}", "-170", "-170.5"),
    ],
)
def test_the_largest_value_is_accepted_and_one_beyond_is_not(event, largest, beyond):
    def problems(value):
        return find_problems(f"events:\n- {event.format(value)}\n- {{wait: 1s}}")

    assert problems(largest) == []
    (problem,) = problems(beyond)
    assert problem.location.line == 2


@pytest.mark.parametrize("text", ["''", "'  '"])
def test_a_text_is_not_empty(text):
    assert len(find_problems(f"events:\n- {{prompt: {text}}}\n- {{wait: 1s}}")) == 1
