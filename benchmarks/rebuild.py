"""`python -m benchmarks.rebuild [NAME …]`: kernels/NAME.ptx anew from kernels/NAME.cu with nvcc. Only needed when a kernel changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KERNELS = Path(__file__).parent / "kernels"
HEAD = "// Made by nvcc 13.0 from the .cu file of the same name: python -m benchmarks.rebuild\n"


def rebuild(source: Path) -> None:
    """Writes the .ptx file next to a .cu file. Raises CalledProcessError with nvcc's message on stderr."""
    target = source.with_suffix(".ptx")
    subprocess.run(["nvcc", "-arch=sm_80", "-std=c++17", "-ptx", "-o", target, source], check=True)
    text = target.read_text()
    target.write_text(HEAD + text[text.index(".version") :])


if __name__ == "__main__":
    for path in sorted(KERNELS.glob("*.cu")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            rebuild(path)
