"""Work on `cuda:1` runs with that device current, whichever thread it runs in."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.fake_cuda import CurrentDevice, fake_cuda, fake_model, fake_session, meta_model
from tests.support.reference import walk

SECOND, THIRD = torch.device("cuda:1"), torch.device("cuda:2")


class OpsByDevice(TorchDispatchMode):
    """Record the pairs of an operation's CUDA device and the current device."""

    def __init__(self, current: CurrentDevice) -> None:
        super().__init__()
        self.current = current
        self.pairs: set[tuple[str, str]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cuda":
                self.pairs.add((str(tensor.device), self.current.now))
        return out


@pytest.mark.parametrize("decode_on", [None, THIRD])
def test_every_operation_of_a_session_has_its_device_current(decode_on, monkeypatch):
    transformer, vae = meta_model()
    with fake_cuda(monkeypatch) as current:
        model = fake_model(transformer, vae, SECOND, decode_on=decode_on)
        controls = walk(2, model.preset.chunk)
        with OpsByDevice(current) as ops:
            session = fake_session(model)
            for control in controls:
                frames = session.decode(session.denoise(control))
            session.replay(controls[0], torch.zeros(session.shape[0], model.preset.chunk, *session.shape[1:]))
            session.skip(controls[1])
        assert frames.device == (decode_on or SECOND)
        assert ("cuda:1", "cuda:1") in ops.pairs
        assert {current for device, current in ops.pairs if device != current} == set()
