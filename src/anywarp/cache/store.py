"""The content-addressed store on disk: what the compiler writes and the native runtime reads (docs/architecture.md section 8).

Files are private to the user, checked by digest when read, written under a temporary name and renamed, and thrown away oldest first when
the store outgrows its bound. A cache that cannot be written is no error.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"AWCACHE1"
KINDS = ("module", "kernel")
DEFAULT_LIMIT = 2 << 30  # bytes


def directory() -> Path:
    """Where the cache is: $ANYWARP_CACHE_DIR, else $XDG_CACHE_HOME/anywarp, else ~/.cache/anywarp."""
    chosen = os.environ.get("ANYWARP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "anywarp"


def limit() -> int:
    """The bound on the store's size in bytes: $ANYWARP_CACHE_LIMIT_MB, else 2 GiB."""
    chosen = os.environ.get("ANYWARP_CACHE_LIMIT_MB", "")
    return int(chosen) << 20 if chosen.isdigit() else DEFAULT_LIMIT


def path_of(kind: str, key: bytes) -> Path:
    name = key.hex()
    return directory() / kind / name[:2] / name


def write(kind: str, key: bytes, payload: bytes) -> bool:
    """Stores a payload under its key. False where the cache cannot be written; the caller goes on without."""
    if not key:
        return False
    path = path_of(kind, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(directory(), 0o700)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(MAGIC + len(payload).to_bytes(8, "little") + hashlib.sha256(payload).digest() + payload)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError:
        return False
    if key[0] & 0x1F == 0:  # every 32nd key: the bound is kept without looking at every write
        trim()
    return True


def read(path: Path) -> bytes | None:
    """The payload of a cache file, or None where it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    payload = data[48:]
    intact = data[:8] == MAGIC and int.from_bytes(data[8:16], "little") == len(payload) and data[16:48] == hashlib.sha256(payload).digest()
    return payload if intact else None


@dataclass
class Entry:
    kind: str
    path: Path
    bytes: int
    used: float  # seconds since the epoch


def entries() -> Iterator[Entry]:
    """Every file of the store."""
    for kind in KINDS:
        root = directory() / kind
        if not root.is_dir():
            continue
        for path in root.glob("*/*"):
            try:
                status = path.stat()
            except OSError:
                continue
            yield Entry(kind, path, status.st_size, max(status.st_mtime, status.st_atime))


def trim() -> int:
    """Removes the files that were used longest ago until the store is within its bound. Gives the bytes removed."""
    found = sorted(entries(), key=lambda e: e.used)
    excess = sum(e.bytes for e in found) - limit()
    removed = 0
    for entry in found:
        if removed >= excess:
            break
        try:
            entry.path.unlink()
            removed += entry.bytes
        except OSError:
            continue
    return removed


def verify() -> tuple[int, list[Path]]:
    """(intact files, damaged ones)."""
    damaged, intact = [], 0
    for entry in entries():
        if entry.path.name.startswith(".new-") or read(entry.path) is None:
            damaged.append(entry.path)
        else:
            intact += 1
    return intact, damaged


def clear() -> int:
    """Removes every file of the store. Gives how many."""
    count = 0
    for entry in list(entries()):
        try:
            entry.path.unlink()
            count += 1
        except OSError:
            continue
    return count
