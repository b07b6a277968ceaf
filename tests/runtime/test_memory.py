"""The memory estimate holds, and a film that does not fit is told what would."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingbot_cli.cli import run
from lingbot_cli.env import Env
from lingbot_cli.errors import InsufficientMemoryError
from lingbot_cli.model.session import Session
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.runtime.memory import UMT5_XXL, MemorySetup, estimate_memory
from lingbot_cli.runtime.memory_check import check_fits, largest_decode_batch
from lingbot_cli.runtime.vae_memory import vae_weights
from tests.support.peak_memory import peaks
from tests.support.reference import REFERENCE, sample_image, tiny_world

SMALL = PRESETS["lingbot-world-v2-1.3b-causal-fast"]
LARGE = PRESETS["lingbot-world-v2-14b-causal-fast"]
ON_GPU = MemorySetup(480, 832, device="cuda", precision="bfloat16", decode="float16")


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
@pytest.mark.parametrize(("size", "frames"), [("112x64", 9), ("224x128", 21)])
def test_the_estimate_is_within_a_tenth_of_the_measured_peak(size: str, frames: int, tmp_path: Path) -> None:
    for read_before in (False, True):  # the second time the prompt is kept, and no text encoder is loaded
        planned, measured = peaks(tmp_path, "--moves", f"w-{frames}", "--size", size)
        assert abs(planned - measured) <= 0.1 * measured, read_before


def test_parameters_are_those_of_the_published_models() -> None:
    for preset, parameters in ((SMALL, 1_709_502_016), (LARGE, 18_544_332_864)):
        assert estimate_memory(preset, MemorySetup(480, 832)).transformer == 4 * parameters


@pytest.mark.parametrize("preset", [PRESETS["built-in"], LARGE, replace(LARGE, vae_blocks=1)])
def test_the_weights_of_a_vae_are_those_of_its_layers(preset: Preset) -> None:
    with torch.device("meta"):
        vae = VAE(VAEConfig.of(preset))
    counted = [sum(4 * p.numel() for p in part.parameters()) for part in (vae.encoder, vae.decoder)]
    assert vae_weights(preset, 4) == pytest.approx(counted, rel=1e-3)


def test_every_flag_saves_what_it_names() -> None:
    whole = estimate_memory(LARGE, ON_GPU)
    assert estimate_memory(replace(LARGE, window=10), ON_GPU).keys_values == whole.keys_values * 10 // 18
    assert estimate_memory(LARGE, replace(ON_GPU, precision="fp8")).transformer < 0.55 * whole.transformer
    offloaded = estimate_memory(LARGE, replace(ON_GPU, offload=True))
    assert offloaded.transformer < 0.1 * whole.transformer
    # All blocks; the text encoder, which is smaller, is released before they are loaded.
    assert 36.5e9 < offloaded.host < 38e9
    on_gpu = estimate_memory(LARGE, replace(ON_GPU, text_on="cuda"))
    assert on_gpu.text == 2 * UMT5_XXL
    assert whole.host - on_gpu.host > on_gpu.text


def test_a_gpu_with_memory_to_spare_decodes_a_whole_chunk_in_one_call() -> None:
    least = estimate_memory(SMALL, ON_GPU).peak
    assert largest_decode_batch(SMALL, ON_GPU, free=80_000_000_000).decode_batch == SMALL.chunk
    assert largest_decode_batch(SMALL, ON_GPU, free=least).decode_batch is None
    between = largest_decode_batch(SMALL, ON_GPU, free=least + 2_000_000_000)
    assert between.decode_batch in (2, 3)
    assert least < estimate_memory(SMALL, between).peak <= least + 2_000_000_000


def test_several_gpus_divide_tokens_and_heads_but_no_weights() -> None:
    one, four = (estimate_memory(LARGE, replace(ON_GPU, gpus=gpus)) for gpus in (1, 4))
    assert four.keys_values == one.keys_values // 4
    assert (four.transformer, four.vae, four.state) == (one.transformer, one.vae, one.state)
    whole = estimate_memory(LARGE, replace(ON_GPU, decode_on="cpu", height=720, width=1280))
    shared = estimate_memory(LARGE, replace(ON_GPU, decode_on="cpu", height=720, width=1280, gpus=4))
    assert shared.work < whole.work


def test_the_pools_of_two_streams_are_both_counted() -> None:
    def work(**changes: object) -> int:
        return estimate_memory(SMALL, replace(ON_GPU, **changes)).work  # type: ignore[arg-type]

    # At float32 the encoder's feature maps are twice the decoder's: the larger of encoder and transformer, and
    # beside it the decoder, which has a stream of its own.
    apart = work(decode_on="cuda:1")
    assert work() > apart
    decoding = work() - apart
    assert work(decode="float32") - apart == pytest.approx(2 * decoding, rel=0.2)


def test_a_decoder_elsewhere_leaves_its_memory_to_the_rest() -> None:
    whole, apart = estimate_memory(SMALL, ON_GPU), estimate_memory(SMALL, replace(ON_GPU, decode_on="cuda:1"))
    assert apart.peak < whole.peak
    assert apart.decoder > 0
    on_host = estimate_memory(SMALL, replace(ON_GPU, decode_on="cpu", read_prompts=False))
    assert (on_host.peak, on_host.decoder) == (apart.peak, 0)
    assert on_host.host > estimate_memory(SMALL, replace(ON_GPU, read_prompts=False)).host


def test_what_does_not_fit_is_told_what_would() -> None:
    with pytest.raises(InsufficientMemoryError, match=r"needs 7\d\.\d GB on cuda") as error:
        check_fits(LARGE, ON_GPU, free=40_000_000_000, free_host=100_000_000_000)
    hint = error.value.hint or ""
    assert hint.startswith("any of these fits: --offload (saves 34.7 GB); --kv-cache int8 --precision fp8 ")
    for flags in hint.removeprefix("any of these fits: ").split("; "):
        assert _needs(flags.partition(" (saves")[0]) <= 40_000_000_000


def _needs(flags: str) -> int:
    words, preset, setup = iter(flags.split()), LARGE, ON_GPU
    for word in words:
        if word == "--offload":
            setup = replace(setup, offload=True)
        elif word == "--precision":
            setup = replace(setup, precision=next(words))
        elif word == "--kv-cache":
            setup = replace(setup, kv_cache=next(words))
        elif word == "--window":
            preset = replace(preset, window=int(next(words)))
        else:
            width, height = map(int, next(words).split("x"))
            setup = replace(setup, height=height, width=width)
    return estimate_memory(preset, setup).peak


def test_a_film_that_cannot_fit_leaves_with_6_and_writes_nothing(tmp_path: Path) -> None:
    env = Env(stdout=io.StringIO(), stderr=io.StringIO())
    model = REFERENCE / "checkpoints" / "diffusers-v1-fast"
    film = tmp_path / "film.mp4"
    command = [
        "render",
        "samples/courtyard-day.png",
        "--moves",
        "w-8",
        "--model",
        str(model),
        "-o",
        str(film),
    ]
    assert run([*command, "--size", "8192x8192"], env) == 6
    said = env.stderr.getvalue()
    assert "at 8192x8192 needs 1" in said
    assert "hint: any of these fits: --" in said or "hint: not even --" in said
    assert list(tmp_path.iterdir()) == []


def test_settings_replace_the_presets_and_are_printed() -> None:
    env = Env(stdout=io.StringIO(), stderr=io.StringIO())
    model = str(REFERENCE / "checkpoints" / "diffusers-v1-fast")
    command = ["render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "64x32", "-o", "null:"]
    command += ["--model", model]
    assert run([*command, "--window", "12", "--steps", "0,500", "--shift", "3"], env) == 0
    said = env.stderr.getvalue()
    lines = (
        "window: preset 18, --window 12; 12 is used",
        "(0, 500) is used",
        "shift: preset 10.0, --shift 3.0",
    )
    for line in lines:
        assert line in said
    for bad in (["--window", "2"], ["--steps", "5,1"], ["--steps", "x"], ["--chunk", "0"], ["--shift", "0"]):
        assert run([*command, *bad], env) == 2


def test_an_eight_bit_kv_cache_takes_half_the_memory() -> None:
    for setup in (ON_GPU, replace(ON_GPU, device="cpu", precision="bfloat16")):
        exact, quantised = (estimate_memory(LARGE, replace(setup, kv_cache=kind)) for kind in (None, "int8"))
        assert 0.5 < quantised.keys_values / exact.keys_values < 0.51
        assert quantised.peak < exact.peak - 0.45 * exact.keys_values


def test_fp8_linears_keep_the_blocks_in_eight_bits() -> None:
    exact, kept = (estimate_memory(LARGE, replace(ON_GPU, precision=each)) for each in ("bfloat16", "fp8"))
    multiplied = estimate_memory(LARGE, replace(ON_GPU, linears="fp8"))
    assert multiplied.transformer == kept.transformer < 0.6 * exact.transformer
    with pytest.raises(InsufficientMemoryError) as short:
        check_fits(LARGE, replace(ON_GPU, linears="fp8"), 20 * 10**9, 10**12)
    assert "--precision fp8" not in str(short.value.hint)


@pytest.mark.parametrize(("window", "kv_cache"), [(6, None), (5, None), (6, "int8"), (6, "fp8")])
def test_keys_and_values_are_those_of_a_sessions_cache(window: int, kv_cache: str | None) -> None:
    world = tiny_world()
    preset = replace(world.preset, window=window, sink=1)
    session = Session(
        replace(world, preset=preset, kv_cache=kv_cache), sample_image(32, 48), height=32, width=48
    )
    setup = MemorySetup(32, 48, device="cuda", precision="float32", kv_cache=kv_cache)
    assert estimate_memory(preset, setup).keys_values == session._cache.nbytes
