"""Tests of the optimiser: matrices of one shape together as each alone, and steps that are nearly orthogonal."""

import torch
from torch import nn

from training.muon import Muon, _orthogonal


def test_matrices_that_are_orthogonalised_together_are_as_each_alone():
    torch.manual_seed(0)
    several = torch.randn(3, 6, 4)
    together = _orthogonal(several)
    for one, step in zip(several, together, strict=True):
        assert torch.allclose(step, _orthogonal(one[None])[0], atol=0.02)  # products in bfloat16
    lengths = torch.linalg.svdvals(together)
    assert lengths.min() > 0.6
    assert lengths.max() < 1.3


def test_steps_go_down_in_every_weight():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 6), nn.Conv2d(1, 2, 3))
    optimiser = Muon(model, lr=0.01, adam_lr=0.001)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(3):
        optimiser.zero_grad()
        sum(p.square().sum() for p in model.parameters()).backward()
        optimiser.step()
    for old, new in zip(before, model.parameters(), strict=True):
        assert new.square().sum() < old.square().sum()
    assert [len(group["params"]) for group in optimiser.param_groups] == [4, 4]
