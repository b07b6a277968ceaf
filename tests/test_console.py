"""Text of any origin on a console."""

import io

import pytest
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lingbot_cli.console import SafeConsole, printable

ESCAPE = "\x1b]0;title\x07\x9b31m\u202e"
SHOWN = r"\x1b]0;title\x07\x9b31m\u202e"


def test_control_characters_are_shown_and_lines_stay():
    assert printable(f"a\tb\n{ESCAPE}ö…\x7f") == f"a\tb\n{SHOWN}ö…\\x7f"


@pytest.mark.parametrize("kind", ["text", "markup", "plain", "table", "live"])
def test_a_terminal_gets_no_escapes_but_the_consoles_own(kind):
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, highlight=False, color_system="standard")
    if kind == "text":
        console.print(Text(ESCAPE, style="bold red"))
    elif kind == "markup":
        console.print(f"[bold red]{escape(ESCAPE)}[/]")
    elif kind == "plain":
        console.print(ESCAPE, markup=False, soft_wrap=True, style="bold red")
    elif kind == "table":
        table = Table("head", style="bold red")
        table.add_row(ESCAPE)
        console.print(table)
    else:
        with Live(console=console, auto_refresh=False) as live:
            live.update(Text(ESCAPE, style="bold red"), refresh=True)
    written = out.getvalue()
    assert "\x1b[1;31m" in written
    assert "\x1b]0" not in written
    assert not set("\x07\x9b\u202e") & set(written)
    assert r"\x1b]0;titl" in written
