"""A litmus shape (`shapes/*.ptx`) to a kernel: the roles' accesses by a mechanism and a scope, between warps, CTAs or streams.

    STORE LOAD                accesses of data
    STORE_LAST LOAD_FIRST     those that a release or an acquire belongs to
    FENCE                     the fence between a role's accesses

`%x` and `%y` are the places, `%v1` and `%v2` a round's first and second value (the readers' registers end as 1 and 2, or 0 for what was
there before), `%r0` to `%r3` what was read. `final:` is done by the first role when all are through. `weak` is the outcome in question,
`forbidden` lists the mechanisms for which the PTX memory model (manual, chapter 8) forbids it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_MEMBAR = {"cta": "cta", "gpu": "gl", "sys": "sys"}
MECHANISMS = ("relaxed", "volatile", "sc", "acq_rel", "membar", "release_acquire", "atomics")
BATCH = 16  # experiments of a lane between two meetings
CLOCKS = 4000  # from the last one's coming to the start
_PLACES = (
    "mad.lo.u32 %t, %j, %lanes, %lane;", "mul.wide.u32 %at, %t, 256;", "add.u64 %x, %cells, %at;", "add.u64 %y, %x, 128;",
    f"mul.lo.u32 %experiment, %lanes, {BATCH};",
    "mad.lo.u32 %experiment, %round, %experiment, %t;",
)  # fmt: skip
SCOPES = {"warps": ("cta", "gpu", "sys"), "ctas": ("gpu", "sys"), "streams": ("gpu", "sys")}


@dataclass(frozen=True)
class Shape:
    """A litmus test: its roles' text, the weak outcome (Python over r0 to r3), the mechanisms that forbid it."""

    name: str
    roles: tuple[str, ...]
    final: str
    weak: str
    forbidden: frozenset[str]

    @property
    def registers(self) -> int:
        return 1 + max(int(n) for n in re.findall(r"%r(\d)", "".join(self.roles) + self.final))


def shapes() -> list[Shape]:
    return [read(path) for path in sorted((FOLDER / "shapes").glob("*.ptx"))]


def read(path: Path) -> Shape:
    text = path.read_text(encoding="utf-8")
    head = dict(re.findall(r"^// (\w+):\s+(.*)$", text, re.MULTILINE))
    parts = re.split(r"^(P\d|final):\n", text, flags=re.MULTILINE)[1:]
    named = dict(zip(parts[::2], parts[1::2]))
    roles = tuple(named[name] for name in sorted(named) if name != "final")
    return Shape(path.stem, roles, named.get("final", ""), head["weak"], frozenset(head["forbidden"].split()))


def accesses(mechanism: str, scope: str) -> dict[str, str]:
    """What the words of a shape stand for."""
    store, load = f"st.relaxed.{scope}.global.u32", f"ld.relaxed.{scope}.global.u32"
    words = {"STORE": store, "LOAD": load, "STORE_LAST": store, "LOAD_FIRST": load, "FENCE": ""}
    if mechanism in ("volatile", "membar"):
        store, load = "st.volatile.global.u32", "ld.volatile.global.u32"
        words = {"STORE": store, "LOAD": load, "STORE_LAST": store, "LOAD_FIRST": load, "FENCE": ""}
    if mechanism == "membar":
        words["FENCE"] = f"membar.{_MEMBAR[scope]}"
    elif mechanism in ("sc", "acq_rel"):
        words["FENCE"] = f"fence.{mechanism}.{scope}"
    elif mechanism == "release_acquire":
        words |= {"STORE_LAST": f"st.release.{scope}.global.u32", "LOAD_FIRST": f"ld.acquire.{scope}.global.u32"}
    elif mechanism == "atomics":
        words |= {"STORE_LAST": f"atom.exch.release.{scope}.global.b32 %t,", "LOAD_FIRST": f"atom.add.acquire.{scope}.global.u32"}
    return words


def kernel(shape: Shape, mechanism: str, scope: str, between: str, lanes: int) -> str:
    """The PTX of a test. Parameters: cells, results (a byte for each register of each experiment), turns (a zero), rounds, role."""
    words = accesses(mechanism, scope)
    role = {"warps": "shr.u32 %role, %t, 5;", "ctas": "mov.u32 %role, %ctaid.x;", "streams": "ld.param.u32 %role, [role];"}[between]
    lines: list[str] = []
    for number, text in enumerate(shape.roles):
        lines += [f"setp.ne.u32 %p, %role, {number};", f"@%p bra NOT_{number};", *_body(text, words), "bra DONE;", f"NOT_{number}:"]
    lines.append("DONE:")
    final: list[str] = []
    if shape.final:
        final = [*_meet("FINAL", len(shape.roles)), "setp.ne.u32 %p, %role, 0;", "@%p bra NOT_FINAL;", "mov.u32 %j, 0;", "EACH_FINAL:"]
        final += [*_PLACES, *_body(shape.final, words), "add.u32 %j, %j, 1;", f"setp.lt.u32 %more, %j, {BATCH};"]
        final += ["@%more bra EACH_FINAL;", "NOT_FINAL:"]
    text = (FOLDER / "frame.ptx").read_text(encoding="utf-8")
    parts = {
        "PLACE_ROLE": [role], "LANES": [str(lanes)], "BATCH": [str(BATCH)], "MEET": _meet("MEET", len(shape.roles)), "PLACES": _PLACES,
        "ROLES": lines, "FINAL": final,
    }  # fmt: skip
    code = re.sub(r"//.*", "", text)
    return re.sub(rf"\b({'|'.join(parts)})\b", lambda found: "\n  ".join(parts[found[0]]), code)


def _body(text: str, words: dict[str, str]) -> list[str]:
    """A role's instructions, and the stores of what it read."""
    lines = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.rstrip(";").partition(" ")
        if word == "LOAD_FIRST" and words[word].startswith("atom"):
            rest += ", 0"
        if words[word]:
            lines.append(f"{words[word]} {rest}".strip() + ";")
    for register in dict.fromkeys(re.findall(r"%r\d", text)):
        lines += [
            f"max.u32 {register}, {register}, %base;", f"sub.u32 {register}, {register}, %base;",
            f"mad.lo.u32 %t, %count, {register[2]}, %experiment;", "cvt.u64.u32 %at, %t;", "add.u64 %at, %at, %results;",
            f"st.global.u8 [%at], {register};",
        ]  # fmt: skip
    return lines


def _meet(name: str, roles: int) -> list[str]:
    """All roles wait for one another; the last to come sets a time a little later, at which all go on: whoever waits for memory is
    behind the others by more than an experiment takes."""
    return [
        "add.u32 %met, %met, 1;", f"mul.lo.u32 %seen, %met, {roles};", f"@!%first bra {name}_WAIT;",
        "atom.add.acq_rel.gpu.global.u32 %t, [%turns], 1;", "add.u32 %t, %t, 1;", "setp.ne.u32 %p, %t, %seen;", f"@%p bra {name}_WAIT;",
        "mov.u64 %begin, %clock64;", f"add.u64 %begin, %begin, {CLOCKS};", "st.relaxed.gpu.global.u64 [%turns+128], %begin;",
        "st.release.gpu.global.u32 [%turns+64], %met;",
        f"{name}_WAIT:", "ld.acquire.gpu.global.u32 %seen, [%turns+64];", "setp.lt.u32 %p, %seen, %met;", f"@%p bra {name}_WAIT;",
        "ld.relaxed.gpu.global.u64 %begin, [%turns+128];",
        f"{name}_CLOCK:", "mov.u64 %now, %clock64;", "setp.lt.u64 %p, %now, %begin;", f"@%p bra {name}_CLOCK;",
    ]  # fmt: skip
