"""`lingbot batch`: many films from one jobs file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import Fast
from lingbot_cli.env import Env

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingbot_cli.batch.scheduler import TaskState, WorkerPool

    Gather = Callable[..., WorkerPool]

app = App()


@app.command()
def batch(
    ctx: typer.Context,
    jobs: Annotated[str, typer.Argument(help="A .yaml or .jsonl file of jobs, or - for JSONL on stdin.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output-dir", help="The folder all films go to.", envvar="LINGBOT_OUTPUT_DIR"),
    ] = Path("."),
    workers: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, max=256, help="Films at a time; else one a GPU.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Such as cuda:0; may be repeated. Else every GPU, or the CPU.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="ray, or ray://HOST:PORT: work on a cluster.", envvar="LINGBOT_ON")
    ] = None,
    bring: Annotated[
        bool, typer.Option("--bring", help="With --on: send the jobs' folder there and bring films back.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(help="Have every film made by a server at ws://HOST:PORT, as render does.")
    ] = None,
    shard: Annotated[
        str, typer.Option(help="I/N: only the I-th of N equal parts, from 1.", envvar="LINGBOT_SHARD")
    ] = "1/1",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print what would be made.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin no film after a failure.")] = False,
    retry: Annotated[int, typer.Option(min=0, max=100, help="How often a failed film is tried again.")] = 0,
    fast: Fast = False,
    timeout: Annotated[
        str | None, typer.Option(help="How long a film may take: 90s, 30:00, 1:30:00.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace films that were made from another recipe.")
    ] = False,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let files be named outside the jobs file's folder.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report to this file.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML: each film is a test.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Make every film of a jobs file once: what is finished is skipped, what was interrupted goes on.

    Leaves with 0 when all films are there and with 1 when one is not.

    Example: lingbot batch recipes/batch/seeds.yaml -o films --allow-outside
    """
    from lingbot_cli.batch import report as reports
    from lingbot_cli.batch.batch_display import choose_batch_display
    from lingbot_cli.batch.manifest import Manifest
    from lingbot_cli.batch.planner import plan_tasks
    from lingbot_cli.batch.run import initial_states, remove_stale_resume, run_batch, select_shard
    from lingbot_cli.batch.scheduler import SchedulerOptions
    from lingbot_cli.batch.tasks import read_tasks
    from lingbot_cli.cli.times import seconds_option
    from lingbot_cli.remote.client import RemoteTarget
    from lingbot_cli.timeline.load import read_source

    env: Env = ctx.obj
    rules = SchedulerOptions(retry, seconds_option("--timeout", timeout), fail_fast)
    source = read_source(jobs, env.read_stdin)
    tasks = read_tasks(source, allow_outside=allow_outside, overwrite=overwrite)
    remote = RemoteTarget.of(engine, None, env.environ)
    tasks = [task.configured(remote, fast=fast) for task in tasks]
    rows = initial_states(plan_tasks(select_shard(tasks, shard)), Manifest(output))
    if dry_run:
        env.out.print(reports.plan_table(rows, Manifest(output)), width=_width(env))
        raise typer.Exit(_code(rows))
    watch = choose_batch_display(quiet=quiet, as_json=as_json, out=env.out, err=env.err, count=len(rows))
    place = _place(on, source.folder if bring else None)
    gather = place or partial(_local, devices=tuple(device or ()))
    remove_stale_resume(rows, Manifest(output))
    signal = run_batch(rows, lambda films: gather(output, films, count=workers), rules, watch)
    if report is not None:
        reports.write_json(report, rows)
    if junit is not None:
        reports.write_junit(junit, rows)
    if not as_json:
        env.out.print(reports.result_table(rows), width=_width(env))
    raise typer.Exit(128 + signal if signal is not None else _code(rows))


def _place(on: str | None, jobs: Path | None) -> "Gather | None":
    """Who gathers hands on the cluster that is named; None for this machine."""
    from lingbot_cli.errors import UsageError

    if on is None and jobs is None:
        return None
    if on is None or (on != "ray" and not on.startswith("ray://")):
        raise UsageError(f"--on {on or 'nothing'}: no such place", hint="use ray or ray://HOST:PORT")
    from lingbot_cli.batch.ray_workers import RayWorkerPool

    return partial(RayWorkerPool, address=None if on == "ray" else on, jobs=jobs)


def _local(output: Path, films: int, count: int | None, devices: tuple[str, ...]) -> "WorkerPool":
    """Hands on this machine: as many as asked for, or one for each device."""
    from lingbot_cli.batch.local_workers import LocalWorkerPool
    from lingbot_cli.model.device import list_gpus

    devices = devices or list_gpus()
    return LocalWorkerPool(output, min(films, count or len(devices) or 1), devices)


def _width(env: Env) -> int | None:
    """A terminal's own width; a log has room for whole sentences."""
    return None if env.out.is_terminal else 200


def _code(rows: "list[TaskState]") -> int:
    return int(any(row.result is not None and row.result.exit_code for row in rows))
