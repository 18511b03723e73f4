"""One line of a report by `anywarp doctor`, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

GOOD, WARNING, BAD = "[green]ok[/green]  ", "[yellow]--[/yellow]  ", "[red]no[/red]  "


@dataclass
class Finding:
    """What was found, and the command that mends it."""

    mark: str
    text: str
    mend: str = ""


def show(console: Console, title: str, findings: list[Finding]) -> None:
    console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    for f in findings:
        console.print(f"  {f.mark}{escape(f.text)}", soft_wrap=True, highlight=False)
        if f.mend:
            console.print(f"      [bold]{escape(f.mend)}[/bold]", soft_wrap=True, highlight=False)
