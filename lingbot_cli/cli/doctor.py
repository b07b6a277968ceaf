"""`lingbot doctor`: can this machine render, and what would help?"""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from lingbot_cli.env import Env

app = typer.Typer(add_completion=False)
MARKS = {"good": "[green]good   [/]", "warning": "[yellow]warning[/]", "bad": "[bold red]bad    [/]"}


@app.command()
def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Look at Python, torch, devices, ffmpeg and its encoders, models and disk; say what to do.

    Leaves with 3 when rendering is impossible. Example: lingbot doctor
    """
    from rich.markup import escape

    from lingbot_cli.diagnostics.doctor import examine

    env: Env = ctx.obj
    findings = []
    for finding in examine(env.environ):
        findings.append(finding)
        if not as_json:
            env.out.print(f"{MARKS[finding.state]} {escape(finding.about)}: {escape(finding.said)}")
            if finding.todo:
                env.out.print(f"        → {escape(finding.todo)}")
    possible = all(finding.state != "bad" for finding in findings)
    if as_json:
        told = {"possible": possible, "findings": [asdict(finding) for finding in findings]}
        env.out.file.write(json.dumps(told) + "\n")
    if not possible:
        raise typer.Exit(3)
