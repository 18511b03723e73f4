"""`anywarp devices`: the device profiles, and the device that programs see now."""

from __future__ import annotations

import ast
from pathlib import Path

from rich.console import Console
from rich.table import Table

from anywarp import settings
from anywarp.runtime_paths import PACKAGE


def profiles() -> dict[str, dict[str, str]]:
    """The top of every profile: name, compute capability, SM count, by identifier."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((Path(PACKAGE) / "devices").glob("*.toml")):
        values: dict[str, str] = {}
        for line in path.read_text().splitlines():
            if line.startswith("["):
                break
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                values[key.strip()] = str(ast.literal_eval(value.strip()))
        found[path.stem] = values
    return found


def devices() -> None:
    """List the device profiles for `anywarp run --device`."""
    console = Console()
    chosen = settings.DEVICE.get()
    table = Table()
    for column in ("profile", "device name", "compute capability", "SMs", ""):
        table.add_column(column)
    for name, values in profiles().items():
        count = values.get("sm_count", "0")
        table.add_row(
            name,
            values.get("name", ""),
            values.get("compute_capability", ""),
            "one a core" if count == "0" else count,
            "[green]in use[/green]" if name == chosen else "",
        )
    console.print(table)
    for setting in (settings.DEVICES, settings.COMPUTE_CAPABILITY, settings.DRIVER_VERSION, settings.NUM_THREADS):
        console.print(f"{setting.name}: {setting.get() or setting.shown_default or setting.default}", highlight=False)
