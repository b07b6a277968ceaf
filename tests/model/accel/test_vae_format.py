"""Memory formats of the VAE: in weights and activations alike, the faster one chosen once per GPU, type and size."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.errors import UsageError
from lingbot_cli.model import device as devices
from lingbot_cli.model.accel import vae_format
from lingbot_cli.model.accel.vae_format import CHANNELS_LAST, CONTIGUOUS, FORMATS, time_formats, use_format
from lingbot_cli.model.loading.random_weights import random_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.runtime import autotune
from lingbot_cli.runtime.autotune import (
    FORMATS_FILE,
    Tuning,
    apply_tuning,
    pick_vae_format,
    read_measurements,
)
from lingbot_cli.runtime.model_options import ModelOptions
from tests.gpu.sizes import TOY, Bench
from tests.support.reference import sample_image, walk

CPU = torch.device("cpu")


class Convolutions(TorchDispatchMode):
    """Record whether input and weights of every convolution have channels last; one tap has both formats."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[bool, bool]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "conv" in str(func):
            last = torch.channels_last if args[0].dim() == 4 else torch.channels_last_3d
            both = [(x.is_contiguous(), x.is_contiguous(memory_format=last)) for x in args[:2]]
            if both[1] != (True, True):
                self.pairs.append((both[0] == (False, True), both[1] == (False, True)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_and_activations_have_the_same_format_on_a_device(part, name):
    with torch.device("meta"):
        vae = VAE(VAEConfig(dim=8))
        x = torch.empty(1, 3, 5, 32, 48) if part == "encoder" else torch.empty(1, 16, 3, 4, 6)
    use_format(vae, CHANNELS_LAST)
    use_format(vae, name)  # back again, too
    cache = CausalConvCache()
    with torch.inference_mode(), Convolutions() as seen:
        for later in (x, x[:, :, 1:]):
            vae.get_submodule(part)(later, cache)
    assert len(seen.pairs) > 40
    assert set(seen.pairs) == {(name == CHANNELS_LAST,) * 2}


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_both_formats_are_timed_and_one_that_fails_is_left_out(part, monkeypatch):
    def timed(run, _device):
        run()
        return 2.0

    def short(run, _device):
        weight = run.func.conv1.weight
        if weight.is_contiguous():
            raise torch.OutOfMemoryError
        return 1.0

    preset, size = TOY.small, (32, 48)
    monkeypatch.setattr(vae_format, "time_call", timed)
    assert time_formats(part, preset, *size, CPU, torch.float32, tf32=True) == dict.fromkeys(FORMATS, 2.0)
    monkeypatch.setattr(vae_format, "time_call", short)
    assert time_formats(part, preset, *size, CPU, torch.float32, tf32=False) == {CHANNELS_LAST: 1.0}


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A machine with a GPU of that name, and a list of the parts that were timed; its times are forced."""
    seconds, timed = {}, []

    def race(part, _preset, height, width, device, dtype, *, tf32):
        timed.append((part, device.type, f"{width}x{height}", str(dtype), tf32))
        return dict(zip(FORMATS, seconds[part], strict=True))

    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(devices, "pick_device", torch.device)
    monkeypatch.setattr(devices, "device_name", lambda _: "a GPU")
    monkeypatch.setattr(vae_format, "time_formats", race)
    return seconds, timed


def pick(height=480, **options):
    return pick_vae_format(read_checkpoint(None), ModelOptions(device="cuda", **options), height, 832)


@pytest.mark.parametrize(
    ("encoder", "decoder", "best"),
    [((1, 2), (5, 2), CHANNELS_LAST), ((1, 2), (2, 2), CONTIGUOUS), ((2, 1), (1, 1.8), CONTIGUOUS)],
)
def test_the_faster_format_of_both_parts_is_chosen_once(gpu, encoder, decoder, best):
    seconds, timed = gpu
    seconds |= {"encoder": encoder, "decoder": decoder}
    assert pick() == pick() == best
    half, single = "torch.float16", "torch.float32"
    assert timed == [
        ("encoder", "cuda", "832x480", single, True),
        ("decoder", "cuda", "832x480", half, False),
    ]
    for other in ({"height": 240}, {"decode": "float32"}, {"encode": "float32"}):
        pick(**other)
    assert len(timed) == 8
    assert len(read_measurements(FORMATS_FILE, "format")) == 4


def test_only_parts_on_a_gpu_are_timed(gpu):
    seconds, timed = gpu
    seconds |= {"encoder": (2, 1), "decoder": (1, 9)}
    assert pick(decode_on="cpu") == CHANNELS_LAST
    assert [part for part, *_ in timed] == ["encoder"]
    checkpoint = replace(read_checkpoint(None), decoder="taew2_1")
    assert pick_vae_format(checkpoint, ModelOptions(device="cuda"), 64, 64) == CHANNELS_LAST
    assert pick_vae_format(checkpoint, ModelOptions(device="cpu"), 64, 64) is None
    assert [part for part, *_ in timed] == ["encoder"] * 2


def test_the_choice_is_applied_written_down_and_resumed(gpu, monkeypatch):
    seconds, timed = gpu
    seconds |= {"encoder": (3, 1), "decoder": (3, 1)}
    monkeypatch.setattr(autotune, "pick_kernel", lambda *_: "flash")
    checkpoint, options = read_checkpoint(None), ModelOptions(device="cuda")
    tuning = autotune.choose_tuning(checkpoint, options, 64, 64)
    assert tuning == Tuning("flash", tuning.threads, CHANNELS_LAST)
    assert f"VAE: {CHANNELS_LAST}" in tuning.describe()
    assert Tuning.from_texts(tuning.as_texts()) == tuning
    before = replace(tuning, vae_format=CONTIGUOUS)
    assert autotune.choose_tuning(checkpoint, options, 64, 64, previous=before) == before
    asked = replace(options, vae_format=CONTIGUOUS)
    assert autotune.choose_tuning(checkpoint, asked, 64, 64, previous=tuning) == before
    assert len(timed) == 2
    with pytest.raises(
        UsageError, match="--vae-format contiguous: a CPU always convolves with channels last"
    ):
        autotune.choose_tuning(checkpoint, replace(asked, device="cpu"), 64, 64)


def test_either_format_gives_the_same_video():
    bench = Bench(CPU, TOY)
    model = random_model(bench.checkpoint(TOY.small), ModelOptions(device="cpu"))
    frames = []
    for name in FORMATS:
        tuned = apply_tuning(model, Tuning(None, torch.get_num_threads(), name))
        assert tuned.vae.encoder.conv1.weight.is_contiguous() == (name == CONTIGUOUS)
        assert tuned.vae.decoder.conv1.weight.is_contiguous() == (name == CONTIGUOUS)
        session = Session(tuned, sample_image(), height=32, width=48)
        frames.append(torch.cat([session.step(control) for control in walk(2, 2)]).int())
    assert (frames[0] - frames[1]).abs().max() <= 1
