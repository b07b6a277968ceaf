"""Windows and numbers of devices that a preset allows."""

import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.presets import check_heads, check_window


@pytest.mark.parametrize(
    ("window", "sink", "chunk"), [(9, 6, 3), (3, 0, 3), (-1, 0, 3), (-1, 99, 3), (18, 9, 3)]
)
def test_a_window_holds_its_sink_and_a_chunk(window, sink, chunk):
    check_window(window, sink, chunk)


@pytest.mark.parametrize(
    ("window", "sink", "chunk", "least"),
    [(8, 6, 3, 9), (2, 0, 3, 3), (0, 0, 3, 3), (1, 0, 4, 4), (-2, 0, 3, 3), (9, -1, 3, 3), (-1, -1, 3, 3)],
)
def test_a_smaller_window_is_refused(window, sink, chunk, least):
    with pytest.raises(UsageError, match=f"a window of {window} latent frames cannot hold") as refused:
        check_window(window, sink, chunk)
    assert refused.value.hint == f"use --window {least} or more, or -1 for no limit"


def test_heads_are_divided_evenly():
    for processes in (1, 2, 3, 4, 6, 12):
        check_heads(12, processes)
    with pytest.raises(UsageError, match="12 attention heads cannot be shared among 5 devices") as refused:
        check_heads(12, 5)
    assert refused.value.hint == "use 2, 3, 4, 6, 12"
    with pytest.raises(UsageError):
        check_heads(12, 24)
