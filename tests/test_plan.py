"""Plans: chunks, frames and prompts."""

from lingbot_cli.plan import make_plan
from lingbot_cli.presets import PRESETS
from tests.support.timelines import compile_text


def test_a_plan_of_a_walk():
    preset = PRESETS["built-in"]
    made = compile_text(
        "prompt: dusk\nevents: [{keys: w, for: 1s}, prompt: rain, {keys: dl, for: 1s}]", preset.chunk
    )
    planned = make_plan(made, preset, height=64, width=112, seed=7)
    assert (planned.preset, planned.frames, planned.fps, planned.seconds) == ("built-in", 32, 16, 2.0)
    assert [(c.start, c.frames, c.keys, c.prompt) for c in planned.chunks] == [
        (0, 9, "w", "dusk"),
        (9, 12, "wdl", "dusk"),
        (21, 11, "dl", "rain"),
    ]
