"""Every kernel of programs/ compiles for processors with AVX-512, to objects that the runtime's loader takes, whatever this machine has.

Nothing runs here: QEMU's user mode does not know AVX-512. A process of its own compiles, since the target is chosen once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from anywarp.codegen import llvm
from anywarp.pipeline import compile_kernel, read_module
from tests.kernels import case_file, jit

ROOT = Path(__file__).parents[2]
BASE = "+sse4.2,+pclmul,+avx,+avx2,+bmi,+bmi2,+lzcnt,+popcnt,+fma,+f16c,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
NEWER = f"{BASE},+avx512vnni,+avx512bf16,+avx512bitalg,+avx512ifma,+avx512vbmi,+avx512vbmi2,+avx512vpopcntdq,+gfni,+vaes,+vpclmulqdq"
PROCESSORS = {"x86-64-v4": BASE, "znver4": NEWER, "sapphirerapids": f"{NEWER},+avx512fp16,+avxvnni,+amx-tile,+amx-bf16,+amx-int8"}


def compile_programs(first: int, step: int) -> None:
    """Compiles each `step`-th program from the `first` on for the target in ANYWARP_TARGET; prints how many use 512-bit registers."""
    files = case_file.programs()[first::step]
    wide = 0
    for path in files:
        case = case_file.read(path).case
        compiled = compile_kernel(read_module(case.ptx), case.entry, jit.variant_of(case.block))
        assert compiled.object[:4] == b"\x7fELF", path
        module = llvm.parse(compiled.lowered.text)
        llvm.optimise(module)
        wide += bool(re.search(r"%zmm\d", llvm.emit_assembly(module)))
    print(len(files), wide)


def _check(processor: str, first: int, step: int) -> None:
    environment = {
        **os.environ, "ANYWARP_TARGET": f"x86_64-unknown-linux-gnu:{processor}:{PROCESSORS[processor]}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    code = f"from tests.kernels.test_processors_with_avx512 import compile_programs; compile_programs({first}, {step})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, wide = (int(n) for n in done.stdout.split())
    assert wide > count // 2, f"{wide} of {count} kernels use 512-bit registers"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_programs_compile(processor: str) -> None:
    """A sixth of the programs for each processor; `pytest -m full` compiles all for all."""
    number = list(PROCESSORS).index(processor)
    _check(processor, number, 2 * len(PROCESSORS))


@pytest.mark.full
@pytest.mark.parametrize("processor", PROCESSORS)
def test_all_programs_compile(processor: str) -> None:
    _check(processor, 0, 1)
