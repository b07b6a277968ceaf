"""The ring KV cache equals a list of frames with an attention sink."""

import pytest
import torch

from lingbot_cli.errors import UsageError
from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.kv_cache import KVCache, KVCacheShape
from lingbot_cli.presets import check_window

TOKENS, HEADS, DIM = 3, 2, 4


class PlainList:
    """The published eviction rule: keep the sink, drop the oldest of the other frames."""

    def __init__(self, window: int, sink: int, limit: int | None) -> None:
        self.window, self.sink, self.limit = window, sink, limit
        self.past: list[tuple[torch.Tensor, torch.Tensor]] = []

    def attend(self, q, k, v):
        frames = list(zip(k.split(TOKENS, dim=1), v.split(TOKENS, dim=1), strict=True))
        kept = self.past + frames
        while 0 <= self.window < len(kept):
            del kept[self.sink]
        keys, values = (torch.cat(part, dim=1) for part in zip(*kept, strict=True))
        if self.limit is not None:
            keys, values = keys[:, -self.limit :], values[:, -self.limit :]
        return attend_all(q, keys, values), kept


@pytest.mark.parametrize(
    ("window", "sink", "chunk", "limit"),
    [
        (6, 1, 3, None),
        (8, 2, 4, None),
        (9, 9 - 3, 3, None),
        (7, 2, 4, None),
        (5, 0, 3, None),
        (-1, 0, 3, None),
        (-1, 0, 2, 7),
        (-1, 2, 4, 5 * TOKENS),
        (6, 1, 3, 4 * TOKENS + 1),
        (6, 1, 3, 2),
        (18, 9, 3, None),
    ],
)
def test_the_ring_equals_a_plain_list(window, sink, chunk, limit):
    generator = torch.Generator().manual_seed(1)
    shape = KVCacheShape(2, TOKENS, HEADS, DIM, window, sink, limit)
    cache = KVCache(shape, torch.device("cpu"), torch.float32)
    plain = [PlainList(window, sink, limit) for _ in range(shape.layers)]
    for index in range(11):
        cache.begin(index * chunk, chunk)
        for _step in range(3):
            for layer in range(shape.layers):
                q, k, v = torch.randn(3, 1, chunk * TOKENS, HEADS, DIM, generator=generator)
                expected, kept = plain[layer].attend(q, k, v)
                torch.testing.assert_close(cache.attend(layer, q, k, v), expected)
                if _step == 2:
                    plain[layer].past = kept


@pytest.mark.parametrize(("before", "after"), [(9, 6), (6, 9), (9, 4), (-1, 6), (7, 7)])
def test_a_resized_cache_equals_one_that_had_its_contents(before, after):
    generator = torch.Generator().manual_seed(1)

    def fill(cache, chunks):
        for index, (k, v) in chunks:
            cache.begin(3 * index, 3)
            cache.write(0, k, v)

    def new(window):
        return KVCache(KVCacheShape(1, TOKENS, HEADS, DIM, window, 1), torch.device("cpu"), torch.float32)

    chunks = list(enumerate(torch.randn(8, 2, 1, 3 * TOKENS, HEADS, DIM, generator=generator)))
    resized, other = new(before), new(after)
    fill(resized, chunks[:5])
    fill(other, chunks[:5])
    resized.resize(after)
    assert resized.nbytes == other.nbytes
    if before >= 0:
        held = min(before, after)
        assert sorted(resized.slot_frames.values()) == [0, *range(16 - held, 15)]
    for index, (k, v) in chunks[5:]:
        fill(resized, [(index, (k, v))])
        fill(other, [(index, (k, v))])
    q, k, v = torch.randn(3, 1, 3 * TOKENS, HEADS, DIM, generator=generator)
    for cache in (resized, other):
        cache.begin(24, 3)
    assert torch.equal(resized.attend(0, q, k, v), other.attend(0, q, k, v))


def test_a_window_takes_the_same_memory_for_ever():
    cache = KVCache(KVCacheShape(1, TOKENS, HEADS, DIM, 6, 1), torch.device("cpu"), torch.float32)
    before = cache.nbytes
    for index in range(200):
        cache.begin(3 * index, 3)
    assert cache.nbytes == before
    assert sorted(cache.slot_frames.values()) == [0, 595, 596, 597, 598, 599]


@pytest.mark.parametrize(("window", "sink"), [(3, 1), (0, 0), (18, 18), (6, -1)])
def test_a_window_without_room_for_a_chunk_is_refused(window, sink):
    with pytest.raises(UsageError, match="window"):
        check_window(window, sink, 3)
