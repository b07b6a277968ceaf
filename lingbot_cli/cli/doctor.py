"""`lingbot doctor`: can this machine render, and what would help?"""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.env import Env

app = App()
MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "error": "[bold red]error  [/]"}


@app.command()
def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look at Python, torch, devices, ffmpeg and its encoders, models and disk; say what to do.

    Leaves with 3 when rendering is impossible. Example: lingbot doctor
    """
    from rich.markup import escape

    from lingbot_cli.diagnostics.doctor import run_checks

    env: Env = ctx.obj
    findings = []
    for finding in run_checks(env.environ):
        findings.append(finding)
        if not as_json:
            env.out.print(f"{MARKS[finding.status]} {escape(finding.name)}: {escape(finding.message)}")
            if finding.hint:
                env.out.print(f"        → {escape(finding.hint)}")
    possible = all(finding.status != "error" for finding in findings)
    if as_json:
        report = {"possible": possible, "findings": [asdict(finding) for finding in findings]}
        env.out.file.write(json.dumps(report) + "\n")
    if not possible:
        raise typer.Exit(3)
