"""What a C++ programmer writes for an instruction: an expression for each family, made into loops of one library.

`expression(subject)` is C++ over the operands' names (`a`, `b`, `c`), or None where nobody would write the instruction as one expression
of a loop (exchanges between lanes, carries, directed rounding, narrow formats). Compiled as a program is: `g++ -O3 -march=native`.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from anywarp.isa import types
from tests.isa.lane_harness import Subject, registers

_CASTS = {"s": "int{}_t", "u": "uint{}_t", "b": "uint{}_t"}
_FLOATS = {"f16": "_Float16", "f32": "float", "f64": "double"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
_EXACT = r"(\.rn)?(\.ftz)?"

# An opcode (whole), and the expression: {T} is the C type of the last modifier, {W} the type of twice its width, {B} its bits, {o} the
# operator that the group `o` names, (to) a cast to the type that the group `to` names,
# {M} ones in as many low bits as the fourth operand says.
EXPRESSIONS: tuple[tuple[str, str], ...] = (
    (r"add\.[us]\d+", "({T})(a + b)"),
    (r"sub\.[us]\d+", "({T})(a - b)"),
    (r"add\.sat\.s32", "std::clamp((int64_t)a + b, (int64_t)INT32_MIN, (int64_t)INT32_MAX)"),
    (r"sub\.sat\.s32", "std::clamp((int64_t)a - b, (int64_t)INT32_MIN, (int64_t)INT32_MAX)"),
    (r"mul\.lo\.[us]\d+", "({T})(a * b)"),
    (r"mul\.hi\.[us]\d+", "({T})(({W})a * b >> {B})"),
    (r"mul\.wide\.[us]\d+", "({W})a * b"),
    (r"mad\.lo\.[us]\d+", "({T})(a * b + c)"),
    (r"mad\.hi\.[us]\d+", "({T})((({W})a * b >> {B}) + c)"),
    (r"mad\.wide\.[us]\d+", "({W})a * b + c"),
    (r"div\.[us]\d+", "({T})(a / b)"),
    (r"rem\.[us]\d+", "({T})(a % b)"),
    (r"sad\.[us]\d+", "({T})((a < b ? b - a : a - b) + c)"),
    (r"abs\.s\d+", "({T})(a < 0 ? -a : a)"),
    (r"neg\.s\d+", "({T})-a"),
    (r"min\.[us]\d+", "std::min<{T}>(a, b)"),
    (r"max\.[us]\d+", "std::max<{T}>(a, b)"),
    (r"popc\.b\d+", "__builtin_popcountll(a)"),
    (r"clz\.b32", "a ? __builtin_clz(a) : 32"),
    (r"clz\.b64", "a ? __builtin_clzll(a) : 64"),
    (r"bfe\.u(32|64)", "({T})(a >> (b & {B} - 1)) & ((({T})1 << (c & {B} - 1)) - 1)"),
    (r"bfi\.b(32|64)", "({T})(b & ~({M} << (c & {B} - 1))) | ({T})((a & {M}) << (c & {B} - 1))"),
    (r"(?P<o>and|or|xor)\.b\d+", "({T})(a {o} b)"),
    (r"not\.b\d+", "({T})~a"),
    (r"cnot\.b\d+", "({T})!a"),
    (r"shl\.b\d+", "b < {B} ? ({T})(a << b) : ({T})0"),
    (r"shr\.u\d+", "b < {B} ? ({T})(a >> b) : ({T})0"),
    (r"shr\.s\d+", "({T})(a >> (b < {B} ? b : {B} - 1))"),
    (r"shf\.l\.wrap\.b32", "(uint32_t)((((uint64_t)b << 32 | a) << (c & 31)) >> 32)"),
    (r"shf\.r\.wrap\.b32", "(uint32_t)(((uint64_t)b << 32 | a) >> (c & 31))"),
    (r"dp4a\.(?P<x>[us])32\.(?P<y>[us])32", "{D}"),
    (r"add" + _EXACT + r"\.f\d+", "a + b"),
    (r"sub" + _EXACT + r"\.f\d+", "a - b"),
    (r"mul" + _EXACT + r"\.f\d+", "a * b"),
    (r"(fma|mad)" + _EXACT + r"\.f(32|64)", "std::fma(a, b, c)"),
    (r"div\.(rn|approx|full)(\.ftz)?\.f\d+", "a / b"),
    (r"rcp\.(rn|approx)(\.ftz)?\.f\d+", "1 / a"),
    (r"sqrt\.(rn|approx)(\.ftz)?\.f(32|64)", "std::sqrt(a)"),
    (r"rsqrt\.approx(\.ftz)?\.f(32|64)", "1 / std::sqrt(a)"),
    (r"min(\.ftz)?\.f(32|64)", "std::fmin(a, b)"),
    (r"max(\.ftz)?\.f(32|64)", "std::fmax(a, b)"),
    (r"abs(\.ftz)?\.f(32|64)", "std::fabs(a)"),
    (r"neg(\.ftz)?\.f\d+", "-a"),
    (r"copysign\.f(32|64)", "std::copysign(b, a)"),
    (r"ex2\.approx(\.ftz)?\.f32", "std::exp2(a)"),
    (r"lg2\.approx(\.ftz)?\.f32", "std::log2(a)"),
    (r"sin\.approx(\.ftz)?\.f32", "std::sin(a)"),
    (r"cos\.approx(\.ftz)?\.f32", "std::cos(a)"),
    (r"tanh\.approx\.f32", "std::tanh(a)"),
    (r"setp\.(?P<o>eq|ne|lt|le|gt|ge|lo|ls|hi|hs)(\.ftz)?\.[ubsf](16|32|64)", "a {o} b"),
    (r"selp\.[ubsf](16|32|64)", "c ? a : b"),
    (r"slct\.[ubsf](16|32|64)\.s32", "c >= 0 ? a : b"),
    (r"cvt(\.rn|\.rzi)?(\.ftz)?\.(?P<to>[usf]\d+)\.[usf]\d+", "(to)a"),
    (r"cvt\.rni(\.ftz)?\.(?P<to>[us]\d+)\.f(32|64)", "(to)std::nearbyint(a)"),
    (r"mov\.[ubsf](16|32|64)", "a"),
)  # fmt: skip


def c_type(type: str) -> str | None:
    """The C++ type of a register with a value of a PTX type; None where C++ has none."""
    if type == "pred":
        return "bool"
    if type in _FLOATS:
        return _FLOATS[type]
    return _CASTS[type[0]].format(type[1:]) if type[0] in _CASTS and type[1:] in ("8", "16", "32", "64") else None


def expression(subject: Subject) -> str | None:
    """The natural C++ expression of an instruction, or None."""
    opcode = subject.group.mnemonic
    if any(not isinstance(o.type, str) or c_type(t) is None for o, t in registers(subject.sources) + registers(subject.results)):
        return None
    for pattern, template in EXPRESSIONS:
        found = re.fullmatch(pattern, opcode)
        if found is None:
            continue
        last = subject.group.opcode[-1]
        width = types.width(last)
        named = {k: v for k, v in found.groupdict().items() if v is not None}
        operator = {**_COMPARE, "and": "&", "or": "|", "xor": "^"}.get(named.get("o", ""), "")
        wide = "__int128" if width == 64 else f"int{2 * width}_t"
        wide = wide if last[0] == "s" else f"u{wide}".replace("u__", "unsigned __")
        text = template.replace("{M}", "((({T})1 << (d0 & {B} - 1)) - 1)").replace("{T}", c_type(last) or "").replace("{W}", wide)
        text = text.replace("{B}", str(width)).replace("{o}", operator).replace("(to)", f"({c_type(named['to'])})" if "to" in named else "")
        if "{D}" in text:
            a, b = (f"{'u' if named[k] == 'u' else ''}int8_t" for k in "xy")
            text = "c + " + " + ".join(f"({a})(a >> {8 * i}) * ({b})(b >> {8 * i})" for i in range(4))
        return text
    return None


def _loop(name: str, subject: Subject, text: str) -> str:
    sources = [(o.name, c_type(t)) for o, t in registers(subject.sources)]
    ((_, result),) = registers(subject.results)
    arrays = [f"const {t}* __restrict p{i}" for i, (_, t) in enumerate(sources)]
    names = {name: f"p{i}[i]" for i, (name, _) in enumerate(sources)}
    # bfi names its fourth operand d, and so its result
    text = re.sub(r"\bd0\b", f"p{len(sources) - 1}[i]", text)
    text = re.sub(r"\b([abc])\b", lambda found: names.get(found[0], found[0]), text)
    head = f'extern "C" void {name}({", ".join([*arrays, f"{c_type(result)}* __restrict d", "long n"])})'
    return f"{head} {{ for (long i = 0; i < n; ++i) d[i] = {text}; }}"


def compile_loops(subjects: list[Subject], folder: Path) -> dict[str, Callable[..., None]]:
    """By mnemonic, a function of pointers to the operands' arrays and the result's, and the number of elements."""
    lines = ["#include <algorithm>", "#include <cmath>", "#include <cstdint>"]
    names: dict[str, str] = {}
    for subject in subjects:
        text = expression(subject)
        if text is not None and len(registers(subject.results)) == 1:
            names[subject.group.mnemonic] = f"loop{len(names)}"
            lines.append(_loop(names[subject.group.mnemonic], subject, text))
    source, library = folder / "instructions.cpp", folder / "instructions.so"
    source.write_text("\n".join(lines))
    subprocess.run(["g++", "-std=c++20", "-O3", "-march=native", "-w", "-fPIC", "-shared", "-o", library, source], check=True)
    loaded = ctypes.CDLL(str(library))
    return {mnemonic: getattr(loaded, name) for mnemonic, name in names.items()}
