"""Offloaded blocks render bit-equal videos, compute on the device and take one flat buffer of host memory each."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lingbot_cli.control import Control
from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel.offload import HostBlocks, StreamedBlocks, offload
from lingbot_cli.model.loading.loader import load_model, transformer_on_meta
from lingbot_cli.model.session import Session
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.memory import MemorySetup, estimate_memory
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.reference import REFERENCE

CHECKPOINT = REFERENCE / "checkpoints" / "diffusers-v1-fast"
LARGE = PRESETS["lingbot-world-v2-14b-causal-fast"]
META = torch.device("meta")


def new_session(world: WorldModel) -> Session:
    return Session(world, np.full((32, 32, 3), 90, np.uint8), height=32, width=32)


def still(prompt: str) -> Control:
    poses = np.tile(np.eye(4), (3, 1, 1))
    return Control(
        poses, np.tile([400.0, 400.0, 416.0, 240.0], (3, 1)), np.zeros((3, 4), np.float32), prompt, 9
    )


def latents(world: WorldModel) -> torch.Tensor:
    session = new_session(world)
    controls = still("a gate"), replace(still("a tower"), recache=True)
    return torch.cat([session.denoise(control) for control in controls], dim=1)


@pytest.mark.parametrize("precision", ["float32", "fp8"])
def test_the_video_is_the_same(precision: str) -> None:
    eager = load_model(CHECKPOINT, ModelOptions(precision=precision))
    streamed = load_model(CHECKPOINT, ModelOptions(precision=precision, offload=True))
    assert isinstance(streamed.transformer.blocks, StreamedBlocks)
    assert torch.equal(latents(streamed), latents(eager))


def streamed_on_meta(precision: str) -> Transformer:
    """Return a transformer whose device is meta, and whose host memory is therefore told apart."""
    preset = replace(PRESETS["built-in"], layers=5)
    transformer = transformer_on_meta(preset, precision, None, META)
    offload(transformer, HostBlocks(transformer, META), META)
    return transformer


@pytest.mark.parametrize("precision", ["float32", "fp8"])
@pytest.mark.parametrize("flow", [True, False])
def test_every_product_of_a_block_reads_weights_on_the_device(precision: str, flow: bool) -> None:
    transformer = streamed_on_meta(precision)
    read: list[str] = []

    def check(layer: torch.nn.Module, _inputs: object) -> None:
        read.extend(parameter.device.type for parameter in layer.parameters())

    for block in torch.nn.ModuleList.__iter__(transformer.blocks):
        for layer in block.modules():
            if layer._parameters and not layer._modules:
                layer.register_forward_pre_hook(check)
        assert {parameter.device.type for parameter in block.parameters()} == {"cpu"}
    config = transformer.config
    text = transformer.embed_text(torch.empty(5, config.text_dim, device=META))
    camera = transformer.embed_camera(torch.empty(1, config.control_dim, 3, 4, 4, device=META))
    x, y = (torch.empty(1, channels, 3, 4, 4, device=META) for channels in (16, 20))
    t, rotation = torch.zeros(1), torch.empty(2, 12, config.head_dim // 2, device=META)
    transformer(x, y, t, camera, text, rotation, lambda _i, q, _k, _v: q, flow=flow)
    assert set(read) == {"meta"}
    assert len(read) > 20 * (len(transformer.blocks) - 1)


def test_a_block_moves_once_a_forward() -> None:
    world = load_model(CHECKPOINT, ModelOptions(offload=True))
    blocks, session = world.transformer.blocks, new_session(world)
    for forwards in (5, 10):  # four steps and the commit pass; text and camera need no pass of their own
        session.denoise(still("a gate" if forwards == 5 else "a tower"))
        assert (
            blocks.copies == forwards * len(blocks) + 1
        )  # the first block of the next forward is on its way


def test_at_rest_the_blocks_are_in_host_memory() -> None:
    blocks = load_model(CHECKPOINT, ModelOptions(offload=True)).transformer.blocks
    places = {tensor.data_ptr() for place in blocks._slots for tensor in place.values()}
    for block in blocks:
        assert {parameter.data_ptr() for parameter in block.parameters()} <= places
    assert len(blocks._slots) == 2
    assert not {p.data_ptr() for p in blocks.parameters()} & places


def test_a_loop_that_is_left_early_starts_again_at_the_first_block() -> None:
    blocks = load_model(CHECKPOINT, ModelOptions(offload=True)).transformer.blocks
    values = [[block.norm3.weight.clone() for block in blocks] for _ in range(2)]
    for _ in blocks:
        break
    again = [block.norm3.weight.clone() for block in blocks]
    for first, second, third in zip(*values, again, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)


class FakeRuntime:
    """The CUDA runtime's registration of host memory."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.locked: dict[int, int] = {}

    def cudaHostRegister(self, address: int, count: int, _flags: int) -> int:
        self.locked[address] = count
        return self.code

    def cudaHostUnregister(self, address: int) -> int:
        return self.locked.pop(address)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: fake)
    monkeypatch.setattr(torch.cuda, "device", _NoDevice)
    return fake


class _NoDevice:
    def __init__(self, _device: torch.device) -> None:
        return

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return


@pytest.mark.parametrize("precision", ["bfloat16", "fp8"])
def test_each_block_is_locked_in_place_in_one_piece_and_the_plan_says_so(
    precision: str, runtime: FakeRuntime
) -> None:
    preset = replace(LARGE, layers=2)
    transformer = transformer_on_meta(preset, precision, None, torch.device("cpu"))
    host = HostBlocks(transformer, torch.device("cuda"))
    assert len(runtime.locked) == 2
    locked = sum(runtime.locked.values())
    weights = sum(parameter.nbytes for parameter in transformer.blocks.parameters())
    assert weights <= locked <= 1.001 * weights  # no power of two: 1.07 GB for a block of 0.91 GB
    setup = MemorySetup(480, 832, "cuda", precision, "float16", offload=True, read_prompts=False)
    estimated = (
        estimate_memory(replace(LARGE, layers=40), setup).host
        - estimate_memory(replace(LARGE, layers=38), setup).host
    )
    assert abs(estimated - locked) <= 0.01 * locked
    pieces = [tensor for tensors in host.tensors for tensor in tensors.values()]
    assert {piece.untyped_storage().data_ptr() for piece in pieces} == set(runtime.locked)
    assert all(piece.data_ptr() % 16 == 0 for piece in pieces)
    del host, pieces
    assert not runtime.locked


def test_memory_that_cannot_be_locked_is_an_error_with_a_way_out(runtime: FakeRuntime) -> None:
    runtime.code = 2
    with pytest.raises(SetupError, match=r"--offload: cannot lock .* of RAM .*: CUDA error 2") as error:
        HostBlocks(streamed_on_meta("float32"), torch.device("cuda"))
    assert "--precision fp8" in str(error.value.hint)
