"""What machine a run was on, and how busy it was."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Facts, and under `text` all of them in one line."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    flags = set(m[1].split()) if (m := re.search(r"flags\s*: (.*)", cpuinfo)) else set()
    vectors = next((f for f in ("avx512f", "avx2", "asimd") if f in flags), platform.machine())
    family = {k: m[1] for k in ("cpu family", "model\t") if (m := re.search(rf"{k}\s*: (\d+)", cpuinfo))}
    try:
        cxx = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except OSError:
        cxx = "no g++"
    facts: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "cpu": f"{model[1] if model else platform.machine()} (family {'/'.join(family.values())}), {vectors}",
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "compiler": cxx,
        "load_before": os.getloadavg()[0],
    }
    facts["text"] = f"{facts['date']}: {facts['cpu']}, {facts['cores']} cores, {cxx}; load before {facts['load_before']:.1f}"
    return facts
