"""Once the window is full every chunk does the same work, and none asks the device for a number."""

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode

from lingbot_cli.world.session import Session
from tests.reference import picture, tiny_world, walk

# Operations that make the host wait for a value the device computes.
READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::item", "aten::equal", "aten::unique_dim"}


class Operations(TorchDispatchMode):
    """Counts every operation by name, and the elements of what each makes."""

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
    living = Session(tiny_world(), picture(), height=48, width=80)
    costs = []
    for control in walk(22):
        with Operations() as seen:
            living.step(control)
        costs.append(seen)
    # The image leaves the encoder's memory at chunk 10, and the cache is full long before.
    steady = costs[11:]
    assert not READS & set().union(*(seen.counts for seen in steady))
    # A chunk's place in the ring decides in how many runs it is copied, so costs repeat with the ring.
    ring = tiny_world().preset.window - tiny_world().preset.sink
    for earlier, later in zip(steady, steady[ring:], strict=False):
        assert earlier.counts == later.counts
        assert earlier.elements == later.elements


def test_a_reading_loop_would_be_caught():
    import torch

    with Operations() as seen:
        torch.ones(3).sum().item()
    assert READS & set(seen.counts)
