"""Attention backends: equal results, rejection of wrong ones, choice of a faster one."""

import pytest
import torch

from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel import attention_backends as kernels
from lingbot_cli.model.accel.attention_backends import (
    DEFAULT_BACKEND,
    AttentionShape,
    get_backend,
    time_backends,
    working_backends,
)
from lingbot_cli.model.attention import attend_all
from lingbot_cli.runtime.autotune import fastest

CPU = torch.device("cpu")
SHAPE = AttentionShape(queries=12, keys=40, heads=3, head_dim=16)


def test_every_kernel_that_runs_computes_the_same():
    assert working_backends(CPU, torch.float32)[0] == DEFAULT_BACKEND
    assert "math" in working_backends(CPU, torch.float32)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, count, 3, 16, generator=generator) for count in (12, 40, 40))
    for name in working_backends(CPU, torch.float32):
        torch.testing.assert_close(
            get_backend(name, CPU, torch.float32)(q, k, v), attend_all(q, k, v), atol=1e-6, rtol=1e-5
        )


def test_a_kernel_that_is_wrong_or_refuses_is_not_measured(monkeypatch):
    def refuses(*_):
        raise RuntimeError("no such head")

    def wrong(q, *_):
        return q

    def no_number(q, *_):
        return q * float("nan")

    found = {DEFAULT_BACKEND: attend_all, "wrong": wrong, "refuses": refuses, "no number": no_number}
    monkeypatch.setattr(kernels, "list_backends", lambda _: found)
    assert list(time_backends(SHAPE, CPU, torch.float32)) == [DEFAULT_BACKEND]


def test_another_kernel_is_taken_only_where_it_is_faster_by_more_than_noise():
    assert fastest({DEFAULT_BACKEND: 1.0, "math": 2.0}, DEFAULT_BACKEND) == DEFAULT_BACKEND
    assert fastest({DEFAULT_BACKEND: 1.0, "math": 0.95}, DEFAULT_BACKEND) == DEFAULT_BACKEND
    assert fastest({DEFAULT_BACKEND: 1.0, "math": 0.8, "flash": 0.7}, DEFAULT_BACKEND) == "flash"
    assert fastest({"math": 0.8}, DEFAULT_BACKEND) == "math"
    assert fastest({}, DEFAULT_BACKEND) == DEFAULT_BACKEND


def test_a_kernel_that_is_not_here_is_refused_with_those_that_are():
    with pytest.raises(SetupError, match="--kernel cudnn: does not run on cpu") as refused:
        get_backend("cudnn", CPU, torch.float32)
    assert "torch, math" in (refused.value.hint or "")
