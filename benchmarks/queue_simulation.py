"""Queue times of players on several GPUs, simulated from a measured chunk time.

    python -m benchmarks.queue_simulation --chunk-s 0.25 --players-an-hour 1000 --minutes 10
    python -m benchmarks.queue_simulation --measure --players-an-hour 20 --minutes 5

A server holds as many players as its chunk time allows at `--fps`; players arrive at random times, stay for an
exponentially distributed time, and wait in one queue for the first free place. `--measure` takes the chunk time of
the built-in model on this machine.
"""

import argparse
import heapq
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from lingbot_cli.control import FRAMES_PER_LATENT
from lingbot_cli.server.capacity import Capacity

MAX_PLAYERS = 1000  # on a server


@dataclass(frozen=True)
class QueueTimes:
    """Waiting times of simulated players: median and 95th percentile in seconds, and the share that waited at all."""

    median_s: float
    p95_s: float
    waited: float


def simulate(places: int, players_an_hour: float, minutes: float, players: int, seed: int = 0) -> QueueTimes:
    """Let players arrive and take the first of `places` that becomes free; the first tenth is left out."""
    chance = random.Random(seed)
    free_at = [0.0] * places
    now, waits = 0.0, []
    for _ in range(players):
        now += chance.expovariate(players_an_hour / 3600)
        begin = max(now, heapq.heappop(free_at))
        waits.append(begin - now)
        heapq.heappush(free_at, begin + chance.expovariate(1 / (60 * minutes)))
    waits = sorted(waits[players // 10 :])
    waited = sum(wait > 0 for wait in waits) / len(waits)
    return QueueTimes(waits[len(waits) // 2], waits[int(0.95 * len(waits))], waited)


def players_a_server(chunk_s: float, chunk_latents: int, fps: float) -> int:
    """Return the players that a server holds, as `serve --min-fps` counts them."""
    capacity = Capacity(MAX_PLAYERS, fps)
    capacity.chunk_rendered(FRAMES_PER_LATENT * chunk_latents, chunk_s)
    return capacity.players


def measured_chunk_s() -> float:
    """Return the seconds of a chunk of the built-in model here, as a server measures it when it starts."""
    from pathlib import Path

    from lingbot_cli.diagnostics.timers import warm_up_chunks
    from lingbot_cli.image import read_image
    from lingbot_cli.model.loading.loader import load_model
    from lingbot_cli.server.protocol import ClientLimits
    from lingbot_cli.server.service import ModelService, SessionDefaults

    image = read_image(Path(__file__).parents[1] / "samples" / "courtyard-day.png")
    service = ModelService(load_model(), ClientLimits(), SessionDefaults(image, "a stone courtyard"))
    chunks = service.warm_up(warm_up_chunks(service.model.preset) + 4)[-4:]
    return sum(seconds for _, seconds in chunks) / len(chunks)


def rows(
    per_server: int, players_an_hour: float, minutes: float, players: int
) -> Iterable[tuple[int, QueueTimes]]:
    """Yield queue times from the fewest servers that keep up to the first without a wait worth the name."""
    demand = players_an_hour * minutes / 60  # players at a time, on average
    servers = int(demand / per_server) + 1
    for count in range(servers, 2 * servers + 20, max(1, servers // 20)):
        times = simulate(count * per_server, players_an_hour, minutes, players)
        yield count, times
        if times.p95_s < 1:
            return


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunk-s", type=float, help="seconds of a chunk, such as `lingbot bench` prints")
    parser.add_argument("--measure", action="store_true", help="measure the built-in model here")
    parser.add_argument("--chunk", type=int, default=3, help="latent frames a chunk")
    parser.add_argument("--fps", type=float, default=16.0, help="frames a second of every player")
    parser.add_argument("--players-an-hour", type=float, default=1000.0)
    parser.add_argument("--minutes", type=float, default=10.0, help="mean length of a session")
    parser.add_argument("--players", type=int, default=20_000, help="simulated players")
    parser.add_argument("--price", type=float, default=0.0, help="price of a GPU an hour")
    chosen = parser.parse_args(argv)
    if (chosen.chunk_s is None) != chosen.measure:
        parser.error("one of --chunk-s and --measure is required")
    chunk_s = measured_chunk_s() if chosen.measure else chosen.chunk_s
    per_server = players_a_server(chunk_s, chosen.chunk, chosen.fps)
    table = Table("GPUs", "places", "wait, median", "95 %", "waited", "price of 1,000 players")
    for count, times in rows(per_server, chosen.players_an_hour, chosen.minutes, chosen.players):
        price = 1000 * count * chosen.price / chosen.players_an_hour
        shown = (f"{times.median_s:.0f} s", f"{times.p95_s:.0f} s", f"{times.waited:.0%}", f"{price:.2f}")
        table.add_row(str(count), str(count * per_server), *shown)
    console = Console(width=110)
    console.print(f"{chunk_s:.3f} s a chunk: {per_server} players a GPU at {chosen.fps:g} fps")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
