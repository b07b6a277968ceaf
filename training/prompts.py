"""Random prompts for the courtyard, and the moods that they name."""

import numpy as np

from training.place.palette import MOODS

_WORDS = {
    "day": [
        "day",
        "daylight",
        "noon",
        "morning",
        "a sunny day",
        "a bright day",
        "summer",
        "midday",
        "sunshine",
    ],
    "dusk": ["dusk", "sunset", "evening", "golden hour", "a warm evening", "twilight", "late evening"],
    "night": ["night", "midnight", "moonlight", "a dark night", "a starry night", "nightfall", "the moon"],
    "snow": ["snow", "winter", "snowfall", "a snowy day", "winter snow", "frost", "a cold winter"],
}
_PLACES = [
    "a stone courtyard",
    "a courtyard",
    "the courtyard",
    "a small walled place",
    "an old castle garden",
]
_PLACES += [
    "a quiet courtyard with a pool",
    "a tower by the sea",
    "a walled garden",
    "this place",
    "a town square",
]
_LINKS = [
    "{p} at {m}",
    "{p} in {m}",
    "{p}, {m}",
    "{m}",
    "{m} in {p}",
    "{p} during {m}",
    "{m}, {p}",
    "{p} under {m}",
]
_CHANGES = [
    "it becomes {m}",
    "{m} falls",
    "{m} comes",
    "then {m}",
    "now it is {m}",
    "{m} begins",
    "it turns to {m}",
]
_SENTENCES = {
    "day": ["the sun rises", "the sun comes out", "it gets bright", "dawn breaks and the day begins"],
    "dusk": ["the sun sets", "the sun goes down", "the sky turns orange", "evening light"],
    "night": ["it gets dark", "the lanterns are lit", "stars come out", "the moon rises"],
    "snow": [
        "it starts to snow",
        "it snows",
        "snow falls",
        "everything is covered in snow",
        "snowflakes drift",
    ],
}
_ELSE = [
    "the gate opens",
    "a bird flies over",
    "somebody walks",
    "a door opens",
    "it starts to rain",
    "wind rises",
]
_ELSE += [
    "the camera glides",
    "a quiet moment",
    "look around",
    "the fountain starts",
    "a view of the tower",
    "fog",
]
_FILLER = [
    "old",
    "new",
    "red",
    "blue",
    "green",
    "quiet",
    "wide",
    "water",
    "stone",
    "light",
    "road",
    "house",
    "roof",
]


def _neutral(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.4:
        return str(rng.choice(_PLACES))
    if kind < 0.8:
        return str(rng.choice(_ELSE))
    return " ".join(rng.choice(_FILLER, size=rng.integers(0, 6)))


def prompt(rng: np.random.Generator, mood: int | None) -> str:
    """Return a prompt that names the mood of that index, or none; of two moods in a prompt the last counts."""
    text = _neutral(rng) if mood is None else _moody(rng, MOODS[mood])
    if mood is not None and rng.random() < 0.15:
        text = f"{_moody(rng, MOODS[rng.integers(len(MOODS))])}, {text}"
    if rng.random() < 0.2:
        text = f"{_neutral(rng)}, {text}"
    if rng.random() < 0.2:
        text = f"{text}{', ' if rng.random() < 0.5 else '. '}{_neutral(rng)}"
    if rng.random() < 0.2:
        text = text[:1].upper() + text[1:]
    return text + ("." if rng.random() < 0.1 else "")


def _moody(rng: np.random.Generator, name: str) -> str:
    if rng.random() < 0.25:
        return str(rng.choice(_SENTENCES[name]))
    word = name if rng.random() < 0.35 else str(rng.choice(_WORDS[name]))
    return str(rng.choice(_LINKS if rng.random() < 0.7 else _CHANGES)).format(p=rng.choice(_PLACES), m=word)
