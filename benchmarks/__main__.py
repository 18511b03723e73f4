"""`python -m benchmarks [--group G] [--kernel TEXT] [--threads one,all] [--quick] [--json FILE] [--html FILE]`: the table of ratios.

A ratio is anywarp's time over the peer's for the same job in the same process, rounds interleaved: below 1 anywarp is faster. Shown is the
ratio of the two minima, and in brackets the quartiles of the rounds' own ratios. One thread: CPU time on a pinned core; more threads: time
on the wall (measure.py says why).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, GROUPS
from benchmarks.machine import describe
from benchmarks.measure import PEERS, ratio

Record = dict[str, Any]
ROOT = Path(__file__).parent.parent


def environment(threads: int) -> dict[str, str]:
    """The variables that set every route's threads."""
    variables = {**os.environ, "ANYWARP_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "POCL_MAX_PTHREAD_COUNT": str(threads)}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables.setdefault("ANYWARP_PYTHON", sys.executable)
    variables.setdefault("ANYWARP_PYTHONPATH", str(ROOT / "src"))
    return variables


def measure_all(names: list[str], threads: int, rounds: int, scale: float, peers: list[str], console: Console) -> list[Record]:
    """Runs the measuring process; a case that kills it is reported and the rest goes on."""
    records: list[Record] = []
    rest = list(names)
    while rest:
        command = [sys.executable, "-m", "benchmarks.measure", str(threads), str(rounds), str(scale), ",".join(peers), *rest]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(threads), cwd=ROOT) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.startswith("{"):
                    continue
                records.append(json.loads(line))
                rest.remove(records[-1]["case"])
                console.print(f"  {threads} thread{'s' * (threads > 1)}: {records[-1]['case']}", style="dim")
            process.wait()
        if rest and (process.returncode or not records):
            group = next(c.group for c in CASES if c.name == rest[0])
            problem = f"the process ended with {process.returncode}"
            lost = {"case": rest.pop(0), "group": group, "threads": threads, "seconds": {}, "reasons": {}}
            records.append({**lost, "problems": {"anywarp": problem}})
        elif rest:
            break
    return records


def cell(record: Record | None, peer: str) -> str:
    if record is None:
        return ""
    values = ratio(record, peer)
    if values is None:
        return "failed" if peer in record["problems"] or "anywarp" in record["problems"] else "-"
    best, _, low, high = values
    colour = "green" if best <= 1 else "yellow" if best <= 1.3 else "red"
    return f"[{colour}]{best:.2f}[/] [dim]({low:.2f}-{high:.2f})[/]"


def geometric_mean(records: list[Record], peer: str) -> float:
    logs = [math.log(r[0]) for record in records if (r := ratio(record, peer))]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def table(records: list[Record], peers: list[str], threads: list[int]) -> Table:
    out = Table(title="time of anywarp / time of the peer (minima; quartiles of the rounds)")
    out.add_column("kernel")
    for n in threads:
        out.add_column(f"{n} thr., ms", justify="right")
        for peer in peers:
            out.add_column(f"{peer}, {n} thr.", justify="right")
    by = {(r["case"], r["threads"]): r for r in records}
    for group in GROUPS:
        names = [c.name for c in CASES if c.group == group and any((c.name, n) in by for n in threads)]
        for name in names:
            row = [name]
            for n in threads:
                record = by.get((name, n))
                ours = record["seconds"].get("anywarp") if record else None
                row.append(f"{1e3 * min(ours):.3f}" if ours else "failed")
                row += [cell(record, peer) for peer in peers]
            out.add_row(*row)
        if names:
            out.add_section()
    row = ["geometric mean"]
    for n in threads:
        row.append("")
        row += [f"{geometric_mean([r for r in records if r['threads'] == n], peer):.2f}" for peer in peers]
    out.add_row(*row)
    return out


def run(
    group: Annotated[list[str], typer.Option(help=f"Only these groups: {', '.join(GROUPS)}.")] = [],  # noqa: B006
    kernel: Annotated[list[str], typer.Option(help="Only kernels whose name contains this.")] = [],  # noqa: B006
    threads: Annotated[str, typer.Option(help="`one`, `all`, a number, or several with commas.")] = "one,all",
    peers: Annotated[str, typer.Option(help="Peers, with commas.")] = ",".join(PEERS),
    rounds: Annotated[int, typer.Option(help="Interleaved rounds; a case stops after 10 s.")] = 25,
    quick: Annotated[bool, typer.Option(help="Small sizes and few rounds: shows that all works, not how fast.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Every round's seconds.")] = None,
    html: Annotated[Path | None, typer.Option(help="A page with plots.")] = None,
) -> None:
    """Times kernels by anywarp and by its peers in the same run and prints ratios."""
    console = Console()
    names = [c.name for c in CASES if (not group or c.group in group) and (not kernel or any(k.lower() in c.name.lower() for k in kernel))]
    cores = len(os.sched_getaffinity(0))
    numbers = list(dict.fromkeys({"one": 1, "all": cores}.get(t) or int(t) for t in threads.split(",")))
    chosen = [p for p in peers.split(",") if p]
    machine = describe()
    console.print(machine["text"])
    records: list[Record] = []
    for n in numbers:
        records += measure_all(names, n, 5 if quick else rounds, 0.02 if quick else 1.0, chosen, console)
    wide = console if console.is_terminal else Console(width=40 + 34 * len(numbers) * len(chosen))
    wide.print(table(records, chosen, numbers))
    for record in records:
        for route, problem in record["problems"].items():
            console.print(f"[red]{record['case']}, {record['threads']} thr., {route}:[/] {problem}", soft_wrap=True)
    for peer, reason in {k: v for r in records for k, v in r["reasons"].items()}.items():
        console.print(f"[yellow]{peer} left out:[/] {reason.splitlines()[0]}", soft_wrap=True)
    machine["load_after"] = os.getloadavg()[0]
    if json_file:
        json_file.write_text(json.dumps({"machine": machine, "records": records}, indent=1))
    if html:
        from benchmarks.page import page

        html.write_text(page(machine, records, chosen))
    if any("anywarp" in r["problems"] or any(p.startswith("anywarp and") for p in r["problems"].values()) for r in records):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(run)
