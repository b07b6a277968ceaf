"""The example program for live events, and the loop recipe."""

import json
import subprocess
import sys
from pathlib import Path

from lingbot_cli.timeline.live import LiveTimeline
from lingbot_cli.timeline.resolve import resolve_timeline

RECIPES = Path(__file__).parents[2] / "recipes"


def test_the_events_of_wander_are_valid():
    done = subprocess.run(
        [sys.executable, RECIPES / "wander.py", "--every", "0", "--events", "60", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    header, *events = map(json.loads, done.stdout.splitlines())
    live = LiveTimeline(4, header)
    for event in events:
        live.apply_raw(event)
        live.next_control()
    assert len(events) == 60
    assert len({next(iter(event)) for event in events}) == 3
    assert abs(live.next_control().poses[0, :3, 3]).max() > 1


def test_there_and_back_ends_where_it_began():
    track = resolve_timeline(4, timeline=str(RECIPES / "there-and-back.yaml")).compiled
    end = track.poses[track.frames]
    assert abs(end - track.poses[0]).max() < 1e-9
