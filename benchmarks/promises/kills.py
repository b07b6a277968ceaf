"""SIGKILL at random moments: what was written plays or resumes, nothing finished is lost, no child is left."""

import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.promises.process import IMAGE, SMALL, TIMEOUT_S, Outcome, frame_count, kill, seconds, start
from lingbot_cli.batch.manifest import Manifest
from lingbot_cli.checkpoints.registry import PUBLISHED
from lingbot_cli.render.resume_store import ResumeStore
from tests.support.hub_server import hub_serving
from tests.support.processes import wait_until
from tests.support.reference import REFERENCE

FPS, FRAMES, CHUNK_FRAMES = 16, 69, 12
MODEL = "lingbot-world-fast"
DOWNLOAD_BYTES_A_SECOND = 2_000_000


def kill_often(
    command: Callable[[int], Sequence[object]],
    progress: Callable[[int], int],
    tries: int,
    promise: str,
    environ: Callable[[int], dict[str, str]] = lambda _run: {},
    watched: Callable[[int], int] | None = None,
) -> Outcome:
    """Kill a command `tries` times, run after run, and let it end.

    A `command` of run n is repeated until it ends by itself; the `progress` of run n must never shrink. Kills come at
    random moments of a whole run, or within a second after the `watched` progress, read all the time, has reached a
    random number.
    """
    chance, failures, orphan_s, run, least = random.Random(0), [], 0.0, 0, 0

    def attempt(moment_s: float = TIMEOUT_S, target: int = 0) -> tuple[bool, float]:
        """Run the command, killed after some seconds; return whether it ended before, and how long children lived."""
        with tempfile.TemporaryFile("w+") as log:
            process = start(command(run), environ(run), stdout=log.fileno(), stderr=log.fileno())
            if watched is not None:
                wait_until(lambda: process.poll() is not None or watched(run) >= target, TIMEOUT_S)
            outlived_s = kill(process, moment_s)
            if process.returncode > 0:
                log.seek(0)
                failures.append(f"run {run}: exit code {process.returncode}: {log.read()[-1000:]}")
        return process.returncode == 0, outlived_s

    whole_s = seconds(attempt)
    whole = progress(run)
    for _ in range(tries):
        if least == 0:
            run += 1
        if watched is None:
            ended, outlived_s = attempt(chance.uniform(0.1, 1.2) * whole_s)
        else:
            ended, outlived_s = attempt(chance.random(), chance.randint(least + 1, whole))
        orphan_s = max(orphan_s, outlived_s)
        now = progress(run)
        if now < least:
            failures.append(f"run {run}: {now} finished after a kill, {least} before")
        least = 0 if ended or now == whole else now
    if not attempt()[0]:
        failures.append(f"run {run} did not end")
    return Outcome(promise, tries, f"{run} runs, children gone within {orphan_s:.2f} s", tuple(failures))


def render(folder: Path, tries: int) -> Outcome:
    """Kill `render --resume`; every saved chunk stays, and the partial file plays."""
    lost_s = []

    def command(run: int) -> list[object]:
        move = ("--moves", f"w-{FRAMES}", "--prompt", "a court", *SMALL, "--device", "cpu", "--resume")
        return ["render", IMAGE, *move, "--overwrite", "-o", folder / f"{run}.mp4"]

    def progress(run: int) -> int:
        video = folder / f"{run}.mp4"
        if video.exists():
            return FRAMES if frame_count(video) == FRAMES else -1
        chunks = ResumeStore.for_output(str(video)).count_chunks()
        saved = max(0, CHUNK_FRAMES * chunks - 3)
        lost_s.append((saved - frame_count(video.with_name(f"{run}.partial.mp4"))) / FPS)
        return saved

    outcome = kill_often(command, progress, tries, "render killed")
    lost = max(lost_s, default=0.0)
    figure = f"{outcome.figure}, {max(lost, 0):.2f} s of saved chunks not in the partial file"
    return Outcome(outcome.promise, tries, figure, outcome.failures)


def record(folder: Path, tries: int) -> Outcome:
    """Kill `stream --record`; the recording plays but for its last second."""
    chance, failures, lost_s, orphan_s = random.Random(1), [], 0.0, 0.0
    for number in range(tries):
        target = folder / f"{number}.mkv"
        move = ("--moves", "w-4000", "--prompt", "a court", *SMALL, "--device", "cpu")
        stream = start(
            ["stream", IMAGE, *move, "--to", "null:", "--record", target, "--json"], stdout=subprocess.PIPE
        )
        assert stream.stdout is not None
        made = 0
        events = (json.loads(line) for line in stream.stdout)
        for _ in range(chance.randrange(2, 6)):
            made = next(events).get("made", 0)
        orphan_s = max(orphan_s, kill(stream, chance.random()))
        made = max([made, *(event.get("made", 0) for event in events)])
        stream.stdout.close()
        if target.exists():
            failures.append(f"{target.name} has its final name")
        lost_s = max(lost_s, (made - frame_count(target.with_name(f"{number}.partial.mkv"))) / FPS)
    if lost_s > 1:
        failures.append(f"{lost_s:.2f} s of video were lost")
    figure = f"at most {max(0, lost_s):.2f} s lost, children gone within {orphan_s:.2f} s"
    return Outcome("stream --record killed", tries, figure, tuple(failures))


def batch(folder: Path, tries: int, videos: int = 8) -> Outcome:
    """Kill `batch`; finished videos stay finished, and the rest is rendered by the next run."""
    names = [f"{seed}.mp4" for seed in range(1, videos + 1)]
    jobs = folder / "jobs.jsonl"
    shutil.copy(IMAGE, folder)
    defaults = {"image": IMAGE.name, "moves": "w-21", "prompt": "a court", "size": SMALL[1]}
    lines = [{"defaults": defaults}, {"seeds": f"1..{videos}", "output": "{seed}.mp4"}]
    jobs.write_text("\n".join(map(json.dumps, lines)))

    def rendered(run: int) -> list[Path]:
        manifest = Manifest(folder / str(run))
        return [manifest.path(name) for name in names if manifest.entry(name) is not None]

    def finished(run: int) -> int:
        return -1 if any(frame_count(video) != 21 for video in rendered(run)) else len(rendered(run))

    def command(run: int) -> list[object]:
        return ["batch", jobs, "-o", folder / str(run)]

    return kill_often(command, finished, tries, "batch killed", watched=lambda run: len(rendered(run)))


def pull(folder: Path, tries: int) -> Outcome:
    """Kill `models pull`; downloaded bytes stay, and the model is whole at the end."""
    source = REFERENCE / "checkpoints" / "diffusers-v1-fast"
    files = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    with hub_serving({PUBLISHED[MODEL].sources[0].repository: files}) as hub:
        hub.bytes_a_second = DOWNLOAD_BYTES_A_SECOND

        def downloaded(run: int) -> int:
            return sum(path.stat().st_size for path in (folder / str(run)).rglob("*") if path.is_file())

        def environ(run: int) -> dict[str, str]:
            hub_only = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
            return {**hub_only, "HF_HOME": str(folder / "hf"), "LINGBOT_CACHE_DIR": str(folder / str(run))}

        return kill_often(
            lambda _run: ["models", "pull", MODEL, "--accept-license"],
            downloaded,
            tries,
            "models pull killed",
            environ,
        )
