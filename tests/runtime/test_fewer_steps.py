"""Fewer denoising steps, and keys of the last step instead of a pass over the clean latents."""

import json
from dataclasses import replace

import pytest
import torch

from lingbot_cli.errors import UsageError
from lingbot_cli.model.session import Session
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.model_options import ModelOptions, fewer_steps
from tests.support.command import lingbot
from tests.support.reference import sample_image, tiny_world, walk

FILM = ("render", "samples/courtyard-day.png", "--moves", "w-9", "--size", "32x32", "--seed", "1")


def test_the_steps_are_evenly_apart_from_the_first():
    assert fewer_steps((0, 250, 500, 750), 2) == (0, 500)
    assert fewer_steps((0, 179, 358, 679), 1) == (0,)
    assert fewer_steps((0,), 2) == (0,)


def test_fewer_steps_replace_those_of_the_preset_but_not_those_given():
    options, checkpoint = resolve_model(ModelOptions(fast_steps=2))
    assert checkpoint.preset.steps == (0, 500)
    assert [str(each) for each in checkpoint.differences] == [
        "steps: preset (0, 250, 500, 750), --fast-steps (0, 500); (0, 500) is used"
    ]
    with pytest.raises(UsageError, match="--fast-steps cannot be used with --steps"):
        resolve_model(replace(options, steps=(0, 100)))


def test_a_fast_video_says_so_in_its_plan_and_metadata(tmp_path):
    file = tmp_path / "fast.mp4"
    options = ("--fast-steps", "1", "--commit", "last-step")
    planned = json.loads(lingbot(*FILM, *options, "--dry-run", "--json", "-o", "null:").stdout)
    assert planned["speed_options"] == {"fast-steps": "1", "commit": "last-step"}
    lingbot(*FILM, *options, "-o", str(file))
    assert "--fast-steps 1 --commit last-step" in lingbot("show", str(file)).stdout


def test_keys_of_the_last_step_save_a_pass_and_change_only_later_chunks(monkeypatch):
    exact, fast = (
        Session(replace(tiny_world(), reuse_keys=reuse), sample_image(), height=48, width=80)
        for reuse in (False, True)
    )
    controls = walk(2)
    first = [session.denoise(controls[0]) for session in (exact, fast)]
    assert torch.equal(*first)
    passes, whole = [], Transformer.forward
    monkeypatch.setattr(
        Transformer, "forward", lambda *args, **more: passes.append(float(args[3])) or whole(*args, **more)
    )
    second = [session.denoise(controls[1]) for session in (exact, fast)]
    assert len(passes) == 5 + 4
    assert not torch.equal(*second)


def test_a_replay_rebuilds_the_keys_of_the_last_step_to_the_bit():
    world, controls = replace(tiny_world(), reuse_keys=True), walk(3)
    whole, resumed = (Session(world, sample_image(), height=48, width=80) for _ in range(2))
    latents = [whole.denoise(control) for control in controls]
    for control, known in zip(controls[:2], latents, strict=False):
        resumed.replay(control, known)
    assert torch.equal(resumed.denoise(controls[2]), latents[2])
