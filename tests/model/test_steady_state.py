"""With a full window every chunk costs the same, and none synchronises with the device."""

from collections import Counter
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lingbot_cli.model import session as sessions
from lingbot_cli.model.sampler import seeded_noise
from lingbot_cli.model.session import Session
from lingbot_cli.model.transfer import AsyncCopy
from lingbot_cli.server.protocol import ClientLimits
from lingbot_cli.server.service import ModelService, SessionDefaults
from tests.support.fake_cuda import fake_cuda, fake_model, fake_session, meta_model
from tests.support.reference import sample_image, tiny_world, walk

# Operations that make the host wait for a value the device computes.
READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::item", "aten::equal", "aten::unique_dim"}


class Operations(TorchDispatchMode):
    """Counter of operations by name and of the elements of their results."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.counts[func.name().split(".")[0]] += 1
        self.elements += made.numel() if hasattr(made, "numel") else 0
        return made


def test_the_steady_loop_reads_nothing_and_every_chunk_costs_the_same():
    video = Session(tiny_world(), sample_image(), height=48, width=80)
    costs = []
    for control in walk(22):
        with Operations() as seen:
            video.step(control)
        costs.append(seen)
    # The image leaves the encoder's memory at chunk 10, and the cache is full long before.
    steady = costs[11:]
    assert not READS & set().union(*(seen.counts for seen in steady))
    # A chunk's place in the ring decides in how many runs it is copied, so costs repeat with the ring.
    ring = tiny_world().preset.window - tiny_world().preset.sink
    for earlier, later in zip(steady, steady[ring:], strict=False):
        assert earlier.counts == later.counts
        assert earlier.elements == later.elements


class Copies(TorchDispatchMode):
    """Record of copies from host to device, and of whether each blocks the host."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[bool] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func.name().split(".")[0] in ("aten::to", "aten::_to_copy") and made.device != args[0].device:
            names = (argument.name for argument in func._schema.arguments)
            told = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
            self.waits.append(not told.get("non_blocking", False))
        return made


def on_meta():
    """Return the tiny model on the meta device, where reading a value is an error."""
    world, meta = tiny_world(), torch.device("meta")
    transformer, vae = (deepcopy(module).to(meta) for module in (world.transformer, world.vae))
    return replace(world, transformer=transformer, vae=vae, device=meta)


def test_the_host_waits_for_no_copy_to_the_device():
    video = Session(on_meta(), sample_image(), height=48, width=80)
    for index, control in enumerate(walk(4)):
        with Copies() as seen:
            frames = video.step(control)
        assert frames.shape == (9 if index == 0 else 12, 48, 80, 3)
        # Each chunk's rays, three axes of positions and four draws of noise; once, the latents' mean and spread.
        assert len(seen.waits) >= 8
        assert sum(seen.waits) <= (2 if index == 0 else 0)


def test_a_copy_that_waits_or_a_value_that_is_read_would_be_caught():
    with Copies() as seen:
        torch.ones(3).to("meta")
    assert seen.waits == [True]
    with pytest.raises(NotImplementedError):
        torch.ones(3, device="meta").cpu()


def test_latents_are_sent_to_where_they_are_decoded():
    world = tiny_world()
    vae = deepcopy(world.vae)
    vae.decoder.to("meta")
    vae.conv2.to("meta")
    video = Session(replace(world, vae=vae), sample_image(), height=48, width=80)
    latents = video.denoise(walk(1)[0])
    assert latents.device.type == "cpu"
    frames = video.decode(latents)
    assert (frames.device.type, frames.shape) == ("meta", (9, 48, 80, 3))


def test_a_reading_loop_would_be_caught():
    with Operations() as seen:
        torch.ones(3).sum().item()
    assert READS & set(seen.counts)


def test_clean_latents_are_ready_before_the_pass_that_writes_them():
    order = []

    @contextmanager
    def phase(name):
        order.append(name)
        yield

    video = Session(tiny_world(), sample_image(), height=48, width=80, phase=phase)
    clean = []
    latents = video.denoise(walk(1)[0], lambda x: (clean.append(x.clone()), order.append("clean")))
    assert order[-3:] == ["denoise", "clean", "commit"]
    assert torch.equal(clean[0], latents)


def test_a_live_session_prepares_rays_while_the_device_writes_the_cache_of_the_chunk_before(monkeypatch):
    order = []

    def record(owner, name):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: order.append(name) or function(*args))

    for owner, name in (
        (sessions, "plucker_rays"),
        (sessions, "download"),
        (Session, "_commit"),
        (AsyncCopy, "numpy"),
    ):
        record(owner, name)
    defaults = SessionDefaults(sample_image(), height=32, width=32)
    ModelService(tiny_world(), ClientLimits(), defaults).warm_up(2)
    # The host waits for copies that were ordered before the commit pass, which is not waited for.
    assert order == ["plucker_rays", "download", "download", "_commit", "numpy", "numpy"] * 2


@pytest.mark.parametrize("decode_on", [None, "cuda:1", "cpu"])
def test_a_gpu_decodes_before_the_cache_is_written_unless_another_device_decodes(monkeypatch, decode_on):
    transformer, vae = meta_model()
    with fake_cuda(monkeypatch):
        decoder = None if decode_on is None else torch.device(decode_on)
        model = fake_model(transformer, vae, torch.device("cuda:0"), decode_on=decoder)
        session, order = fake_session(model), []
        monkeypatch.setattr(sessions, "download", lambda x: x)
        monkeypatch.setattr(session, "decode", lambda x: order.append("decode") or x)
        monkeypatch.setattr(session, "_commit", lambda *_: order.append("commit"))
        session.start(walk(1, model.preset.chunk)[0])
        assert order == (["decode", "commit"] if decode_on is None else ["commit", "decode"])
        # The default device has no number, its tensors have.
        assert replace(model, device=torch.device("cuda")).decodes_in_place == (decode_on is None)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_gpus_next_noise_is_drawn_while_it_computes_unless_it_is_recorded(monkeypatch, recorded):
    drawn = []

    def noise(*key):
        if recorded and key[0] == 2:
            raise IndexError("the recording has two chunks")
        drawn.append(key[:2])
        return seeded_noise(7)(*key)

    monkeypatch.setattr(sessions, "seeded_noise", lambda _seed: noise)
    transformer, vae = meta_model()
    with fake_cuda(monkeypatch):
        model = fake_model(transformer, vae, torch.device("cuda:0"))
        session = fake_session(model, noise=noise if recorded else None)
        begun = []
        monkeypatch.setattr(
            session, "_commit", lambda *_: begun.append(len(drawn)) or session._advance(walk(1)[0])
        )
        for control in walk(2, model.preset.chunk):
            session.denoise(control)
    assert drawn == [(chunk, step) for chunk in range(2 if recorded else 3) for step in range(4)]
    assert begun == [4, 8]  # the second chunk drew none after its beginning
