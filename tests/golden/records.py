"""Recorded results on disk: `records/DEVICE/FAMILY.zst`, Zstandard over a JSON line and the results' bytes.

The line: what ran them (`device`, `capability`, `driver`, `date`, `ptx`), and for each case its name, the digest of code and operands, and
either where its results lie in the bytes or why there are none (`refused`: what the driver's compiler said; `failed`: the launch).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zstandard

FOLDER = Path(__file__).parent / "records"


@dataclass
class Entry:
    """One case of a record."""

    name: str
    digest: str
    results: bytes | None = None
    why_none: str = ""


@dataclass
class Record:
    """The results of one family on one device."""

    family: str
    device: str
    capability: tuple[int, int]
    driver: str
    date: str
    ptx: tuple[int, int]
    entries: list[Entry] = field(default_factory=list)


def write(record: Record, path: Path) -> None:
    cases: list[dict[str, object]] = []
    blob = b""
    for entry in record.entries:
        case: dict[str, object] = {"name": entry.name, "digest": entry.digest}
        if entry.results is None:
            case["none"] = entry.why_none
        else:
            case["at"], case["bytes"] = len(blob), len(entry.results)
            blob += entry.results
        cases.append(case)
    head = {**asdict(record), "entries": cases}
    path.parent.mkdir(parents=True, exist_ok=True)
    compressor = zstandard.ZstdCompressor(level=19)
    path.write_bytes(compressor.compress(json.dumps(head).encode() + b"\n" + blob))


def read(path: Path) -> Record:
    line, _, blob = zstandard.ZstdDecompressor().decompress(path.read_bytes()).partition(b"\n")
    head = json.loads(line)
    entries = []
    for case in head.pop("entries"):
        data = None if "none" in case else blob[case["at"] : case["at"] + case["bytes"]]
        entries.append(Entry(case["name"], case["digest"], data, case.get("none", "")))
    record = Record(**head, entries=entries)
    record.capability, record.ptx = tuple(record.capability), tuple(record.ptx)  # type: ignore[assignment]
    return record


def files(folder: Path = FOLDER) -> list[Path]:
    return sorted(folder.glob("*/*.zst"))
