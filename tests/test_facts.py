"""Published numbers, pinned once: sampling settings of the presets, precisions, lenses, speeds and rates."""

import numpy as np
import pytest
import torch

from lingbot_cli.camera import keys
from lingbot_cli.camera.lens import square_lens
from lingbot_cli.camera.pose import PITCH_LIMIT_DEGREES
from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.control import FRAMES_PER_LATENT
from lingbot_cli.model.loading.load_vae import load_vae
from lingbot_cli.model.sampler import sigma_schedule
from lingbot_cli.model.vae import LATENT_MEAN, LATENT_STD
from lingbot_cli.presets import PRESETS
from lingbot_cli.server.input_to_control import INTRINSICS
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.ffmpeg_args import default_bitrate, keyframe_interval
from lingbot_cli.timeline.chunks import FrameGrid

V1_STEPS, V2_STEPS = (0, 179, 358, 679), (0, 250, 500, 750)


@pytest.mark.parametrize(
    ("name", "chunk", "window", "sink", "steps", "shift", "width"),
    [
        ("built-in", 3, 12, 3, V2_STEPS, 5.0, (192, 6, 9, 768)),
        ("lingbot-world-fast", 3, 18, 9, V1_STEPS, 10.0, (5120, 40, 40, 13824)),
        ("lingbot-world-v2-14b-causal-fast", 4, 18, 6, V2_STEPS, 10.0, (5120, 40, 40, 13824)),
        ("lingbot-world-v2-14b-causal-fast-diffusers", 3, 18, 9, V2_STEPS, 5.0, (5120, 40, 40, 13824)),
        ("lingbot-world-v2-1.3b-causal-fast", 4, 18, 6, V2_STEPS, 5.0, (1536, 12, 30, 8960)),
    ],
)
def test_a_preset_has_its_published_settings(name, chunk, window, sink, steps, shift, width) -> None:
    preset = PRESETS[name]
    assert (preset.chunk, preset.window, preset.sink, preset.steps, preset.shift) == (
        *(chunk, window, sink, steps, shift),
    )
    assert (preset.dim, preset.heads, preset.layers, preset.ffn) == width
    assert (preset.fps, preset.control, preset.freq_dim) == (16, "cam", 256)
    if name == "built-in":
        assert (preset.area, preset.text_dim, preset.text_len, preset.vae_dim, preset.vae_blocks) == (
            *(112 * 64, 64, 64, 16, 1),
        )
    else:
        assert (preset.area, preset.text_dim, preset.text_len, preset.vae_dim, preset.vae_blocks) == (
            *(832 * 480, 4096, 512, 96, 2),
        )


def test_no_other_preset_is_published() -> None:
    assert len(PRESETS) == 5
    assert all(name == preset.name for name, preset in PRESETS.items())
    licences = {name: preset.licence for name, preset in PRESETS.items()}
    assert [licences[name] for name in PRESETS if "v2" in name] == ["CC BY-NC-SA 4.0"] * 3
    assert licences["built-in"] == "Apache-2.0"
    assert licences["lingbot-world-fast"].startswith("Apache-2.0")


def test_timesteps_of_the_published_schedules() -> None:
    assert sigma_schedule(V1_STEPS, 10.0).timesteps == (999, 978, 947, 825)
    assert sigma_schedule(V2_STEPS, 10.0).timesteps == (999, 967, 908, 768)
    assert sigma_schedule(V2_STEPS, 5.0).timesteps == (999, 937, 833, 624)


@pytest.mark.parametrize("decoder", [torch.float32, torch.float16, torch.bfloat16])
def test_the_encoder_is_float32_whatever_the_decoder(decoder: torch.dtype) -> None:
    vae = load_vae(read_checkpoint(None), torch.device("cpu"), decoder)
    types = {name: parameter.dtype for name, parameter in vae.named_parameters()}
    assert {kind for name, kind in types.items() if name.startswith(("encoder.", "conv1."))} == {
        torch.float32
    }
    assert {kind for name, kind in types.items() if name.startswith(("decoder.", "conv2."))} == {decoder}


def test_statistics_of_the_latents() -> None:
    assert (len(LATENT_MEAN), len(LATENT_STD)) == (16, 16)
    assert (LATENT_MEAN[0], LATENT_MEAN[-1], sum(LATENT_MEAN)) == (-0.7571, -0.2921, pytest.approx(-0.7332))
    assert (LATENT_STD[0], LATENT_STD[-1], sum(LATENT_STD)) == (2.8184, 1.916, pytest.approx(34.2747))


def test_lenses() -> None:
    assert INTRINSICS == (500.0, 500.0, 416.0, 240.0)
    assert square_lens(None) == (500.0, 500.0, 416.0, 240.0)
    np.testing.assert_allclose(square_lens(90), (416, 416, 416, 240))
    np.testing.assert_allclose(square_lens(None, 480, 480), (500, 500 * 480 / 832, 416, 240))


def test_speeds_and_rates() -> None:
    assert (keys.WALK_UNITS_PER_FRAME, keys.TURN_DEGREES_PER_FRAME, keys.DEFAULT_FPS) == (0.05, 2.0, 16)
    latent = keys.WALK_UNITS_PER_LATENT, keys.YAW_DEGREES_PER_LATENT, keys.PITCH_DEGREES_PER_LATENT
    assert latent == (0.05, 6.0, 4.0)
    assert [keys.wasd_held(letter).index(True) for letter in "wasd"] == [0, 1, 2, 3]
    assert PITCH_LIMIT_DEGREES == 85.0
    assert FRAMES_PER_LATENT == 4
    assert FrameGrid().fps == 16
    published = VideoInfo(480, 832, 16)  # type: ignore[arg-type]
    assert default_bitrate(published) == 2236
    assert keyframe_interval(published.fps) == 32
