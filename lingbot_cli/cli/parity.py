"""`lingbot parity`: this machine's arithmetic against recorded tensors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import PrintJson
from lingbot_cli.console import print_json
from lingbot_cli.env import Env

if TYPE_CHECKING:
    from lingbot_cli.diagnostics.parity import Deviation

app = App()


@app.command()
def parity(
    ctx: typer.Context,
    case: Annotated[
        Path, typer.Argument(help="A recorded case: a folder with case.json and expected.safetensors.")
    ],
    weights: Annotated[
        Path | None, option("Folder of the weights.", metavar="FOLDER", default="two folders above the case")
    ] = None,
    device: Annotated[str, option("Device, such as cpu or cuda.", metavar="DEVICE")] = "cpu",
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"],
        option("Precision of the transformer; the tolerances are those of float32."),
    ] = "float32",
    as_json: PrintJson = False,
) -> None:
    """Replay a recorded case and print each tensor's largest error and its tolerance.

    Exits with 0 if all tensors are within their tolerances, else with 1.

    Example: lingbot parity tests/data/reference/cases/fast-v1-window-and-sink
    """
    env: Env = ctx.obj
    from lingbot_cli.diagnostics.parity import replay
    from lingbot_cli.model.device import pick_device, pick_dtype

    found = replay(case, weights or case.parent.parent, pick_device(device), pick_dtype(precision))
    if as_json:
        print_json(env.out, report(case, found), indent=2)
    else:
        env.out.print(table(case, found))
    if not all(deviation.holds for deviation in found):
        raise typer.Exit(1)


def report(case: Path, found: "list[Deviation]") -> dict[str, object]:
    """Return the results for JSON; an error that is not a number is null."""
    return {
        "case": case.name,
        "holds": all(deviation.holds for deviation in found),
        "tensors": {
            deviation.name: {
                "error": deviation.error if deviation.error < float("inf") else None,
                "tolerance": deviation.tolerance,
                "holds": deviation.holds,
            }
            for deviation in found
        },
    }


def table(case: Path, found: "list[Deviation]") -> Table:
    """Return the results as a table."""
    drawn = Table(title=f"parity · {case.name}", title_justify="left")
    for heading in ("tensor", "largest error", "tolerance", ""):
        drawn.add_column(heading, justify="left" if heading == "tensor" else "right")
    for deviation in found:
        verdict = "[green]holds[/]" if deviation.holds else "[bold red]does not hold[/]"
        drawn.add_row(deviation.name, f"{deviation.error:.2e}", f"{deviation.tolerance:.0e}", verdict)
    return drawn
