"""`lingbot batch`: many videos from one jobs file."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import Engine, Fast, parse_duration
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.sample_files import complete_names, find_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingbot_cli.batch.scheduler import SchedulerOptions, TaskState, WorkerPool

    StartWorkers = Callable[..., WorkerPool]

app = App()


@dataclass(frozen=True)
class BatchOutputFlags:
    """Output folder and reports."""

    panel: ClassVar[str] = "Output"

    output: Annotated[
        Path,
        option(
            "Folder of the videos.", names="-o --output-dir", metavar="FOLDER", envvar="LINGBOT_OUTPUT_DIR"
        ),
    ] = Path(".")
    overwrite: Annotated[bool, option("Replace videos that were rendered with other settings.")] = False
    report: Annotated[Path | None, option("Write a JSON report.")] = None
    junit: Annotated[Path | None, option("Write JUnit XML, a test per video.")] = None

    def write_reports(self, states: "list[TaskState]") -> None:
        """Write the reports that were asked for."""
        from lingbot_cli.batch.report import write_json, write_junit

        if self.report is not None:
            write_json(self.report, states)
        if self.junit is not None:
            write_junit(self.junit, states)


@dataclass(frozen=True)
class JobFlags:
    """Order and failures of jobs."""

    panel: ClassVar[str] = "Jobs"

    shard: Annotated[
        str, option("Render only the I-th of N equal parts, from 1.", metavar="I/N", envvar="LINGBOT_SHARD")
    ] = "1/1"
    retry: Annotated[int, option("Retries of a failed video.", min=0, max=100)] = 0
    timeout: Annotated[
        str | None,
        option(
            "Longest time that a video may take: 90s, 30:00, 1:30:00.", metavar="TIME", default="no limit"
        ),
    ] = None
    fail_fast: Annotated[bool, option("Start no video after a failure.")] = False
    allow_outside: Annotated[bool, option("Let jobs name files outside the jobs file's folder.")] = False

    def rules(self) -> "SchedulerOptions":
        """Return the scheduler's options. Errors: UsageError."""
        from lingbot_cli.batch.scheduler import SchedulerOptions

        return SchedulerOptions(self.retry, parse_duration("--timeout", self.timeout), self.fail_fast)


@dataclass(frozen=True)
class WorkerFlags:
    """Machines and devices that render."""

    panel: ClassVar[str] = "Workers"

    workers: Annotated[
        int | None, option("Videos at a time.", names="-j --jobs", min=1, max=256, default="one per device")
    ] = None
    device: Annotated[
        list[str] | None,
        option("Such as cuda:0. Repeatable.", metavar="DEVICE", default="every GPU, else the CPU"),
    ] = None
    on: Annotated[
        str | None,
        option("Render on a cluster: ray, or ray://HOST:PORT.", metavar="CLUSTER", envvar="LINGBOT_ON"),
    ] = None
    bring: Annotated[
        bool, option("With --on: copy the jobs' folder to the cluster, and the videos back.")
    ] = False
    engine: Engine = None

    def start(self, jobs: Path) -> "StartWorkers":
        """Return a function that starts workers; `jobs`: folder of the jobs file. Errors: UsageError."""
        if self.on is None and not self.bring:
            return partial(_start_local, devices=tuple(self.device or ()))
        if self.on is None or (self.on != "ray" and not self.on.startswith("ray://")):
            raise UsageError(
                "--bring needs --on" if self.on is None else f"--on {self.on}: not a cluster",
                hint="use ray or ray://HOST:PORT",
            )
        from lingbot_cli.batch.ray_workers import RayWorkerPool

        address = None if self.on == "ray" else self.on
        return partial(RayWorkerPool, address=address, jobs=jobs if self.bring else None)


JobsFile = Annotated[
    str,
    typer.Argument(
        help="Jobs: .yaml, .jsonl, or - for JSONL on stdin.", parser=find_input, autocompletion=complete_names
    ),
]


@app.command()
def batch(
    ctx: typer.Context,
    jobs: JobsFile,
    output: BatchOutputFlags,
    job: JobFlags,
    worker: WorkerFlags,
    fast: Fast = False,
    dry_run: Annotated[
        bool, option("Check everything and print the plan; render nothing.", panel="Display")
    ] = False,
    quiet: Annotated[bool, option("Print only the summary.", names="-q --quiet", panel="Display")] = False,
    as_json: Annotated[bool, option("Print JSON lines.", names="--json", panel="Display")] = False,
) -> None:
    """Render every video of a jobs file once: finished ones are skipped, interrupted ones are continued.

    Exits with 0 if all videos are there, else with 1.

    Example: lingbot batch recipes/batch/seeds.yaml -o videos --allow-outside
    """
    from lingbot_cli.batch import report as reports
    from lingbot_cli.batch.batch_display import choose_batch_display
    from lingbot_cli.batch.manifest import Manifest
    from lingbot_cli.batch.planner import plan_tasks
    from lingbot_cli.batch.run import (
        check_outputs,
        initial_states,
        remove_stale_resume,
        run_batch,
        select_shard,
    )
    from lingbot_cli.batch.tasks import read_tasks
    from lingbot_cli.remote.client import RemoteTarget
    from lingbot_cli.timeline.load import read_source

    env: Env = ctx.obj
    rules = job.rules()
    source = read_source(jobs, env.read_stdin)
    tasks = read_tasks(source, allow_outside=job.allow_outside, overwrite=output.overwrite)
    remote = RemoteTarget.connect(worker.engine, None, env.environ)
    tasks = [task.configured(remote, fast=fast) for task in tasks]
    manifest = Manifest(output.output)
    check_outputs(tasks, manifest)
    states = initial_states(plan_tasks(select_shard(tasks, job.shard)), manifest)
    display = choose_batch_display(quiet=quiet, as_json=as_json, out=env.out, err=env.err, count=len(states))
    for text in dict.fromkeys(text for state in states for text in state.planned.warnings):
        display.note(f"warning: {text}")
    if dry_run:
        env.out.print(reports.plan_table(states, manifest), width=_width(env))
        raise typer.Exit(_exit_code(states))
    start = worker.start(source.folder)
    remove_stale_resume(states, manifest)
    signal = run_batch(
        states, lambda count: start(output.output, count, count=worker.workers), rules, display
    )
    output.write_reports(states)
    if not as_json:
        env.out.print(reports.result_table(states), width=_width(env))
    raise typer.Exit(128 + signal if signal is not None else _exit_code(states))


def _start_local(output: Path, tasks: int, count: int | None, devices: tuple[str, ...]) -> "WorkerPool":
    """Start workers on this machine: `count`, or one per device."""
    from lingbot_cli.batch.local_workers import LocalWorkerPool
    from lingbot_cli.model.device import list_gpus

    devices = devices or list_gpus()
    return LocalWorkerPool(output, min(tasks, count or len(devices) or 1), devices)


def _width(env: Env) -> int | None:
    """Return the width of tables: the terminal's, None, or 200 in a log."""
    return None if env.out.is_terminal else 200


def _exit_code(states: "list[TaskState]") -> int:
    return int(any(state.result is not None and state.result.exit_code for state in states))
