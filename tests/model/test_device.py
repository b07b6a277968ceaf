"""Devices that are missing or unknown are named in a sentence; the decoder's precision is its own device's."""

import pytest
import torch

from lingbot_cli.diagnostics.timers import DeviceTimer
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.device import pick_device
from lingbot_cli.model.loading import loader
from lingbot_cli.runtime.model_options import ModelOptions, pick_decoder_precision
from tests.support.fake_cuda import CurrentDevice


@pytest.mark.parametrize("name", ["mps", "xpu", "xpu:1"])
def test_a_device_that_is_not_there_is_a_sentence(name):
    with pytest.raises(SetupError) as error:
        pick_device(name)
    assert str(error.value).startswith(
        f"--device {name}: PyTorch {torch.__version__} finds no {name[:3]} device"
    )
    assert "aten::" not in str(error.value)


@pytest.mark.parametrize("name", ["hip", "tpu", "cuda:x"])
def test_an_unknown_device_is_a_usage_error(name):
    with pytest.raises(UsageError, match=f"unknown device {name}") as error:
        pick_device(name)
    assert "AMD" in str(error.value.hint)


def test_a_number_beyond_the_devices_names_those_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SetupError, match="there are 2 devices, cuda:0 to cuda:1"):
        pick_device("cuda:2")


@pytest.mark.parametrize(
    ("device", "decode_on", "asked", "precision"),
    [
        ("cuda", None, None, "float16"),
        ("cuda", "cpu", None, "float32"),
        ("cpu", "cuda:1", None, "float16"),
        ("cuda", "cpu", "bfloat16", "bfloat16"),
        ("mps", None, None, "float32"),
    ],
)
def test_the_decoder_has_the_precision_of_its_own_device(device, decode_on, asked, precision, monkeypatch):
    assert pick_decoder_precision(device, decode_on, asked) == precision
    monkeypatch.setattr(loader, "pick_device", torch.device)
    found = []

    def load_vae(_checkpoint, _device, dtype, *_, **__):
        found.append(str(dtype).removeprefix("torch."))
        raise InterruptedError

    monkeypatch.setattr(loader, "load_vae", load_vae)
    with pytest.raises(InterruptedError):
        loader.load_model(None, ModelOptions(device=device, decode_on=decode_on, decode=asked))
    assert found == [precision]


def test_a_timer_records_on_its_device(monkeypatch):
    current, streams = CurrentDevice(), []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
            assert current.now == "cuda:1"

        def record(self, stream):
            streams.append(stream)

    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    DeviceTimer(torch.device("cuda:1")).now()
    assert streams == ["stream of cuda:1"]
