"""`lingbot doctor`: checks of this machine, with remedies."""

from dataclasses import asdict

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import PrintJson
from lingbot_cli.console import print_json
from lingbot_cli.env import Env

app = App()
MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "error": "[bold red]error  [/]"}


@app.command()
def doctor(ctx: typer.Context, as_json: PrintJson = False) -> None:
    """Check Python, torch, devices, ffmpeg and its encoders, models and disk, and print remedies.

    Exits with 3 if rendering is impossible.

    Example: lingbot doctor
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
        print_json(env.out, report)
    if not possible:
        raise typer.Exit(3)
