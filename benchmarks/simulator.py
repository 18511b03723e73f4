"""anywarp against Numba's simulator: `python -m benchmarks.simulator`, where numba-cuda is installed.

The simulator runs each CUDA thread as a Python thread, so it gets a few hundred threads of the same kernel and its time is given for one
thread of the kernel, as is anywarp's at full size on one core (cases.py): a thread does the same work in both, on average.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys


def main() -> None:
    from benchmarks.__main__ import ROOT, environment
    from benchmarks.cases import CASES

    python = os.environ.get("NUMBA_PYTHON", sys.executable)
    variables = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-m", "benchmarks.simulator_kernels"], capture_output=True, text=True, env=variables, cwd=ROOT)
    if done.returncode:
        sys.exit(f"left out: {done.stderr.strip().splitlines()[-1]} (pip install numba-cuda, or NUMBA_PYTHON names a Python that has it)")
    theirs = json.loads(done.stdout)
    command = [sys.executable, "-m", "benchmarks.measure", "1", "9", "1", "", *theirs]
    lines = subprocess.run(command, capture_output=True, text=True, env=environment(1), cwd=ROOT, check=True).stdout.splitlines()
    logs = []
    for record in map(json.loads, lines):
        work = next(c for c in CASES if c.name == record["case"]).make(1.0)
        threads = math.prod(work.grid) * math.prod(work.block) * work.launches
        ours = min(record["seconds"]["anywarp"]) / threads
        logs.append(math.log(theirs[record["case"]] / ours))
        ns = 1e9 * theirs[record["case"]]
        print(f"{record['case']:28} simulator {ns:12.0f} ns a thread, anywarp {1e9 * ours:8.1f}: {math.exp(logs[-1]):10.0f} times")
    print(f"{'geometric mean':28} {math.exp(sum(logs) / len(logs)):.0f} times")


if __name__ == "__main__":
    main()
