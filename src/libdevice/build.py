"""The math library's PTX from its C source: `python src/libdevice/build.py [clang]`, with a clang (14 or later) that knows NVPTX.

Writes `src/anywarp/ptx/math_library.ptx`, which is checked in: nobody needs clang to use it or to build a wheel.
`fit.py` writes the numbers.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "anywarp" / "ptx" / "math_library.ptx"
FLAGS = (
    *("--target=nvptx64-nvidia-cuda", "-Xclang", "-target-cpu", "-Xclang", "sm_70", "-Xclang", "-target-feature", "-Xclang", "+ptx70"),
    # As written: no sums of products but those that the source has.
    *("-O2", "-ffp-contract=off", "-mllvm", "-nvptx-fma-level=0", "-fno-math-errno", "-fno-builtin", "-Wall", "-Werror", "-Wno-unused"),
)


def fingerprint() -> str:
    """Of the sources: the library names those that it was compiled from."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.h"), *HERE.glob("*.c")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def compiled(clang: str) -> str:
    """The library as PTX: a line an instruction, without what only a reader of the assembly wants."""
    command = [clang, *FLAGS, "-S", "-o", "-", str(HERE / "library.c")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"//[^\n]*", "", text)
    lines = [" " * line[:1].isspace() + " ".join(line.split()) for line in text.splitlines() if line.strip()]
    text = re.sub(r"(?<=[,(])\n ?|\n ?(?=[),])", "", "\n".join(lines))  # lists of parameters and arguments in one line
    text = re.sub(r",(?=[^ ])", ", ", text)
    return f"// Written by src/libdevice/build.py from sources with SHA-256 {fingerprint()}.\n" + text.strip() + "\n"


def main() -> None:
    TARGET.write_text(compiled(sys.argv[1] if len(sys.argv) > 1 else "clang"), encoding="utf-8")


if __name__ == "__main__":
    main()
