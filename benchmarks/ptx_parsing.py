"""How fast PTX is parsed and verified, and what memory that takes: `python benchmarks/ptx_parsing.py [FILE.ptx]`.

Without a file it makes a module like those that nvcc writes for a large library: 300 entries, 354,000 instructions,
13 MB. The time is this process's CPU time, the memory its peak above what it held with the text loaded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from anywarp.ptx import parse, verify

ENTRIES = 300
ROUNDS = 128

HEAD = """//
// Made by benchmarks/ptx_parsing.py
//
.version 9.0
.target sm_80
.address_size 64
.extern .func (.param .b32 func_retval0) vprintf
(
\t.param .b64 vprintf_param_0
)
;
"""


def large_module() -> str:
    return HEAD + "".join("".join(_entry(number)) for number in range(ENTRIES))


def _entry(number: int) -> Iterator[str]:
    name = f"_Z6kernel{number}PfPKfi"
    yield f"""
\t// .globl\t{name}
.visible .entry {name}(
\t.param .u64 .ptr .align 1 {name}_param_0,
\t.param .u64 {name}_param_1
)
{{
\t.reg .pred \t%p<200>;
\t.reg .f32 \t%f<2000>;
\t.reg .b32 \t%r<2000>;
\t.reg .b64 \t%rd<900>;

\tld.param.u64 \t%rd1, [{name}_param_0];
\tmov.u32 \t%r1, %tid.x;
"""
    for i in range(ROUNDS):
        r, label = 2 * i + 2, f"$L__BB{number}_{i}"
        yield f"""\tmul.wide.s32 \t%rd{i + 2}, %r{r - 1}, 4;
\tadd.s64 \t%rd{i + 200}, %rd{i + 2}, %rd1;
\tld.global.f32 \t%f{i + 1}, [%rd{i + 200}+{4 * i + 4}];
\tfma.rn.f32 \t%f{i + 500}, %f{i + 1}, 0f3F{i:06X}, %f{i + 300};
\tsetp.lt.s32 \t%p{i}, %r{r}, {i * 7};
\t@%p{i} bra \t{label};

\tmad.lo.s32 \t%r{r + 1}, %r{r}, %r{r - 1}, 17;
\tst.global.v4.f32 \t[%rd{i + 200}], {{%f{i}, %f{i + 1}, %f{i + 2}, %f{i + 3}}};
{label}:
\tshl.b32 \t%r{r + 2}, %r{r + 1}, 3;
"""
        if i % 16 == 0:
            yield f"""\t{{ // callseq {i}, 0
\t.param .b64 param0;
\tst.param.b64 \t[param0+0], %rd{i + 2};
\t.param .b32 retval0;
\tcall.uni (retval0),
\tvprintf,
\t(
\tparam0
\t);
\tld.param.b32 \t%r{r}, [retval0+0];
\t}} // callseq {i}
"""
    yield "\tret;\n\n}\n"


def _peak_megabytes() -> float:
    """Of this program: getrusage would give the parent's peak where that was larger (it lives on through fork and exec)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main(arguments: list[str]) -> None:
    text = Path(arguments[0]).read_text(errors="replace") if arguments else large_module()
    before = _peak_megabytes()
    start = time.process_time()
    module = parse(text)
    parsed = time.process_time()
    verify(module)
    verified = time.process_time()
    print(f"module    {len(text) / 1e6:.1f} MB, {len(module.functions)} functions")
    print(f"parse     {parsed - start:.2f} s")
    print(f"verify    {verified - parsed:.2f} s")
    print(f"memory    {_peak_megabytes() - before:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
