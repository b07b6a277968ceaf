"""Profile of long runs: `pytest tests/fuzzing --hypothesis-profile=hours`."""

from hypothesis import settings

settings.register_profile("hours", max_examples=200_000)
