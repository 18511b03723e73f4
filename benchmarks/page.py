"""The table of ratios as a page with plots: one file, no script and nothing fetched."""

from __future__ import annotations

import html
import math
from typing import Any

from benchmarks.cases import CASES, GROUPS
from benchmarks.measure import ratio

WIDTH, ROW, LEFT = 860, 18, 210
COLOURS = ("#2266aa", "#dd8822", "#338844")
STYLE = "body{font:14px sans-serif;max-width:900px;margin:2em auto}td,th{padding:2px 10px;text-align:right}td:first-child{text-align:left}"


def page(machine: dict[str, Any], records: list[dict[str, Any]], peers: list[str]) -> str:
    """HTML. A plot for each number of threads: ratios on a logarithmic axis."""
    parts = [
        f"<!doctype html><meta charset=utf-8><title>anywarp: kernel times</title><style>{STYLE}</style>",
        f"<h1>Time of anywarp over time of the peer</h1><p>{html.escape(machine['text'])}, after {machine.get('load_after', 0):.1f}.",
        "A dot is the ratio of the minima, the line goes from quartile to quartile of the rounds' ratios. Left of 1 anywarp is faster.</p>",
    ]
    for threads in dict.fromkeys(r["threads"] for r in records):
        mine = {r["case"]: r for r in records if r["threads"] == threads}
        parts.append(f"<h2>{threads} thread{'s' * (threads > 1)}</h2>{plot(mine, peers)}{table(mine, peers)}")
    return "\n".join(parts)


def _x(value: float) -> float:
    """The place of a ratio between 1/100 and 20."""
    low, high = math.log(0.01), math.log(20)
    return LEFT + (WIDTH - LEFT) * (min(max(math.log(value), low), high) - low) / (high - low)


def plot(records: dict[str, dict[str, Any]], peers: list[str]) -> str:
    names = [c.name for g in GROUPS for c in CASES if c.group == g and c.name in records]
    height = ROW * (len(names) + 2)
    out = [f'<svg viewBox="0 0 {WIDTH} {height}" font-size="12">']
    for mark in (0.01, 0.03, 0.1, 0.3, 1, 3, 10):
        colour = "#000" if mark == 1 else "#ccc"
        x = f"{_x(mark):.1f}"
        out.append(f'<path d="M{x} {ROW} V{height}" stroke="{colour}"/><text x="{x}" y="12" text-anchor="middle">{mark}</text>')
    for row, name in enumerate(names):
        y = ROW * (row + 1.5)
        out.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>')
        for number, peer in enumerate(peers):
            if values := ratio(records[name], peer):
                best, _, low, high = values
                line, colour = y + 4 * (number - 1), COLOURS[number % len(COLOURS)]
                out.append(f'<path d="M{_x(low):.1f} {line} H{_x(high):.1f}" stroke="{colour}" stroke-width="2"/>')
                title = f"{html.escape(name)} against {html.escape(peer)}: {best:.2f} ({low:.2f} to {high:.2f})"
                out.append(f'<circle cx="{_x(best):.1f}" cy="{line}" r="3.5" fill="{colour}"><title>{title}</title></circle>')
    legend = " ".join(f'<b style="color:{COLOURS[n % len(COLOURS)]}">{html.escape(p)}</b>' for n, p in enumerate(peers))
    return "".join([*out, "</svg>", f"<p>against {legend}</p>"])


def table(records: dict[str, dict[str, Any]], peers: list[str]) -> str:
    head = "".join(f"<th>{html.escape(p)}</th>" for p in peers)
    rows = [f"<table><tr><th>kernel</th><th>ms</th>{head}</tr>"]
    for name, record in records.items():
        ours = record["seconds"].get("anywarp")
        cells = [f"{1e3 * min(ours):.3f}" if ours else "failed"]
        cells += [f"{values[0]:.2f}" if (values := ratio(record, peer)) else "-" for peer in peers]
        rows.append(f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    return "".join([*rows, "</table>"])
