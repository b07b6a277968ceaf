"""A long load tells how far it is, a short one nothing."""

from lingbot_cli.model.loading.tensor_io import LoadProgress
from lingbot_cli.runtime.load_model import load_progress


def test_lines_come_every_five_seconds_and_at_the_end() -> None:
    said: list[str] = []
    report = load_progress(said.append)
    for second in range(13):
        report(LoadProgress("transformer", second * 1_000_000_000, 12_000_000_000, float(second)))
    assert said == [
        "loading the transformer: 5.00 GB of 12.0 GB, 5 s",
        "loading the transformer: 10.0 GB of 12.0 GB, 10 s",
        "loading the transformer: 12.0 GB of 12.0 GB, 12 s",
    ]


def test_a_small_world_loads_in_silence() -> None:
    said: list[str] = []
    report = load_progress(said.append)
    report(LoadProgress("VAE", 5, 10, 0.1))
    report(LoadProgress("VAE", 10, 10, 0.2))
    assert said == []
