"""Int8 attention: its calling convention, and errors where it is not available."""

import sys

import pytest
import torch

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.accel.attention_backends import int8_attention
from lingbot_cli.model.attention import attend_all

PACKAGE = """
import torch.nn.functional as F

def sageattn(q, k, v, tensor_layout="HND", is_causal=False):
    assert (tensor_layout, is_causal) == ("NHD", False)
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for the package, which installs only with a GPU, with the same calling convention."""

    def install(text):
        (tmp_path / "sageattention.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "sageattention", raising=False)

    yield install
    sys.modules.pop("sageattention", None)


def test_its_kernels_are_handed_heads_after_tokens(package):
    package(PACKAGE)
    q, k, v = (torch.randn(1, n, 2, 16, dtype=torch.bfloat16) for n in (5, 9, 9))
    torch.testing.assert_close(int8_attention((9, 0), torch.bfloat16)(q, k, v), attend_all(q, k, v))


def test_float32_is_refused(package):
    package(PACKAGE)
    with pytest.raises(UsageError, match="float32"):
        int8_attention((9, 0), torch.float32)


@pytest.mark.parametrize(
    ("able", "text", "said"),
    [
        (None, PACKAGE, "need a CUDA device"),
        ((7, 5), PACKAGE, "compute capability 8.0"),
        ((9, 0), "raise ImportError('built for another torch')", "built for another torch"),
    ],
)
def test_what_is_missing_is_said(package, able, text, said):
    package(text)
    with pytest.raises(SetupError, match=said) as refused:
        int8_attention(able, torch.bfloat16)
    assert refused.value.exit_code == 3
    assert "leave --attention int8 out" in refused.value.hint
