"""Hypothesis strategies: values of any shape, and valid values, texts and bytes with a few faults."""

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support.realtime_client import init, png

fuzzed = settings(
    deadline=None,
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ),
)
fuzzed_slowly = settings(fuzzed, max_examples=fuzzed.max_examples // 4)

EDGE_NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -1.5, 5e-324, 1e308)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
EDGE_TEXTS = (
    *("", " ", "w", "é\u202e\x00", "\ud800", "x" * 20_000, "832x480", "1" * 400, "1e999", "0s", "99999999s"),
    *(
        "/etc/passwd",
        "../../secret.png",
        "http://127.0.0.1:9/a.png",
        "file:///etc/shadow",
        "data:,x",
        "{}",
        "[/]",
    ),
)
FIELDS = (
    *(
        "type",
        "prompt",
        "first_frame",
        "size",
        "fps",
        "seed",
        "max_chunks",
        "condition_inputs",
        "kind",
        "payload",
    ),
    *(
        "event_id",
        "camera",
        "controls",
        "scale",
        "resume",
        "have",
        "realtime_output_format",
        "num_frames",
        "mode",
    ),
    *(
        "realtime_causal_kv_cache_num_frames",
        "realtime_causal_sink_size",
        "output_compression",
        "poses",
        "yaw",
    ),
    *(
        "camera_actions",
        "transitions",
        "input_types",
        "extensions",
        "frames",
        "format",
        "max_width",
        "quality",
    ),
)

packable_texts = st.sampled_from([text for text in EDGE_TEXTS if text != "\ud800"]) | st.text(max_size=12)
numbers = st.sampled_from((*EDGE_NUMBERS, *NOT_FINITE)) | st.integers(-1000, 1000) | st.floats()
plain = st.one_of(st.none(), st.booleans(), numbers, packable_texts)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return lists and maps of these leaves, at most a few levels deep."""
    keys = st.sampled_from(FIELDS) | st.text(max_size=5)
    return st.recursive(
        leaves, lambda s: st.lists(s, max_size=4) | st.dictionaries(keys, s, max_size=4), max_leaves=6
    )


json_values = nested(plain)
packed_values = nested(plain | st.binary(max_size=60) | st.sampled_from([png()[:70], b"GIF89a", png()]))


@st.composite
def faulty(draw: st.DrawFn, valid: Any, values: st.SearchStrategy[Any] = json_values) -> Any:
    """Return a valid value of which up to three parts, at any depth, are replaced, removed or added."""
    root = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        holder = root
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            inner = [key for key in keys if isinstance(holder[key], dict | list) and holder[key]]
            if not inner or draw(st.booleans()):
                break
            holder = holder[draw(st.sampled_from(inner))]
        if keys and draw(st.integers(0, 4)):
            key = draw(st.sampled_from(keys))
            if draw(st.integers(0, 4)):
                holder[key] = draw(values)
            else:
                del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(FIELDS))] = draw(values)
        else:
            holder.append(draw(values))
    return root


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """Return valid bytes that are cut, overwritten, repeated or added to in up to three places."""
    data = valid
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 9)))
        piece = draw(
            st.sampled_from([b"", b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7]) | st.binary(max_size=9)
        )
        choices = (
            data[:start] + piece + data[end:],
            data[:start] + data[start:end] * 3 + data[end:],
            data[:start],
        )
        data = choices[draw(st.sampled_from([0, 0, 0, 1, 2]))]
    return data


WORDS = (
    *(
        "- ",
        ": ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        "'",
        '"',
        "|",
        ">",
        "&a",
        "*a",
        "!!int",
        "<<",
        "?",
        "\t",
        "---",
    ),
    *(
        "\x00",
        "\ufeff",
        "\u2028",
        "é",
        "-",
        "1e999",
        ".inf",
        ".nan",
        "-1",
        "0",
        "00",
        "true",
        "null",
        "~",
        "99999999s",
    ),
    *(
        "for:",
        "at:",
        "until:",
        "keys:",
        "turn:",
        "prompt:",
        "poses:",
        "events:",
        "jobs:",
        "seeds:",
        "1..9",
        "9..1",
    ),
)


@st.composite
def misspelt(draw: st.DrawFn, valid: str) -> str:
    """Return a valid text of which up to four words are replaced, repeated, removed or added, or lines are moved."""
    text = valid
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from((*WORDS, "", text[start:end] * 2)) | st.text(max_size=4))
        text = text[:start] + piece + text[end:]
    return text


EVENTS: tuple[dict[str, Any], ...] = (
    {"kind": "prompt", "payload": "it rains"},
    {"kind": "camera_actions", "payload": [["w"], ["w", "l"], []]},
    {
        "kind": "camera_actions",
        "payload": {"mode": "state", "transitions": [{"actions": ["w"], "client_ts_ms": 1}]},
    },
    {
        "kind": "composite_input",
        "payload": {
            "input_types": ["prompt", "camera_actions"],
            "prompt": "it rains",
            "camera_actions": [["w"]],
        },
    },
    {"kind": "turn", "payload": {"yaw": 10, "pitch": -3}},
    {
        "kind": "control",
        "payload": {
            "poses": [[1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]] * 3,
            "intrinsics": [[500.0, 500, 16, 16]] * 3,
            "actions": [[0.0, 0, 0, 0]] * 3,
            "prompt": "",
        },
    },
    {"kind": "output", "payload": {"format": "jpeg", "max_width": 64, "quality": 80}},
    {"kind": "reset", "payload": {"seed": 7, "prompt": "again"}},
    {"kind": "window", "payload": {"frames": 9}},
    *({"kind": kind, "payload": None} for kind in ("pause", "resume", "heartbeat")),
)
INITS: tuple[dict[str, Any], ...] = (
    init(max_chunks=1),
    init(camera={"speed": 1.0, "turn_rate": 30, "fov": 60}, condition_inputs={"camera_actions": [["w"], []]}),
    init(controls=True, scale=1.0, realtime_causal_sink_size=3, realtime_causal_kv_cache_num_frames=12),
    init(resume="a key", have=1, extensions=True, output_compression=90, realtime_preview_max_width=64),
)

inits = st.sampled_from(INITS).flatmap(lambda valid: faulty(valid, packed_values))
events = st.sampled_from(EVENTS).flatmap(
    lambda valid: faulty({"type": "event", "event_id": 5, **valid}, packed_values)
)
