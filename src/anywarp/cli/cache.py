"""`anywarp cache info | verify | clear`: the store of compiled kernels (docs/architecture.md section 8)."""

from __future__ import annotations

import time

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from anywarp.cache import store

application = typer.Typer(no_args_is_help=True)


@application.command()
def info() -> None:
    """Where the cache is, how big, and how old."""
    console = Console()
    found = list(store.entries())
    size = decimal(sum(e.bytes for e in found))
    console.print(f"[bold]{store.directory()}[/bold], {size} of at most {decimal(store.limit())}", soft_wrap=True)
    if not found:
        console.print("empty")
        return
    table = Table()
    for column, right in (("kind", False), ("files", True), ("size", True), ("oldest use", True), ("newest use", True)):
        table.add_column(column, justify="right" if right else "left")
    for kind in store.KINDS:
        of_kind = [e for e in found if e.kind == kind]
        if of_kind:
            used = [e.used for e in of_kind]
            table.add_row(kind, str(len(of_kind)), decimal(sum(e.bytes for e in of_kind)), _age(min(used)), _age(max(used)))
    console.print(table)


@application.command()
def verify() -> None:
    """Check every file against its digest. The exit status is 1 where one is damaged."""
    console = Console()
    intact, damaged = store.verify()
    for path in damaged:
        console.print(f"[red]damaged[/red] {path}", soft_wrap=True)
    console.print(f"{intact} intact, {len(damaged)} damaged")
    if damaged:
        console.print("Damaged files are never used. `anywarp cache clear` removes everything; kernels are compiled again when needed.")
        raise typer.Exit(1)


@application.command()
def clear() -> None:
    """Remove every file; kernels are compiled again when needed."""
    Console().print(f"{store.clear()} files removed from {store.directory()}", soft_wrap=True)


def _age(moment: float) -> str:
    seconds = max(time.time() - moment, 0)
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
