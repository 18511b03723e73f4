"""Writes LLVM IR as text, one instruction a call, for values of any number of lanes.

A `V` is an LLVM value with its element type and its number of lanes: `float` with 1 lane is `float`, with 32 it is `<32 x float>`. Every
operation takes operands with different numbers of lanes and widens the narrower ones by repetition (`broadcast`), so the code for an
instruction is written once. Python numbers are not values: make them with `const`.

Text, because it is the fastest way to LLVM from Python; LLVM's own verifier checks it when it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

WARP = 32


class V(NamedTuple):
    """An LLVM value: element type ("i32", "float", "ptr"), lanes, and its name or constant text."""

    elem: str
    n: int
    name: str

    @property
    def type(self) -> str:
        return self.elem if self.n == 1 else f"<{self.n} x {self.elem}>"

    @property
    def typed(self) -> str:
        return f"{self.type} {self.name}"

    @property
    def bits(self) -> int:
        """The width of one element in bits."""
        return WIDTH[self.elem]

    @property
    def is_constant(self) -> bool:
        return self.name[0] != "%"


WIDTH = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "i128": 128, "float": 32, "double": 64, "half": 16,
         "bfloat": 16, "ptr": 64}  # fmt: skip


def vector_type(elem: str, n: int) -> str:
    return elem if n == 1 else f"<{n} x {elem}>"


_SUFFIX = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "ptr": "p0"}


def suffix(elem: str, n: int) -> str:
    """An intrinsic's name suffix for a type: `v32f32`, `i64`."""
    s = _SUFFIX.get(elem, elem)
    return s if n == 1 else f"v{n}{s}"


class Module:
    """The text of one LLVM module: functions, and declarations and constants that they asked for.

    `features` are the target's, by LLVM's names without sign (`avx2`, `avx512bf16`; see `codegen.llvm.feature_set`): a lowering may
    use a target's own intrinsics where they are there, and must be correct without.
    """

    def __init__(self, features: frozenset[str] = frozenset()) -> None:
        self.features = features
        self.functions: list[str] = []
        self._declarations: dict[str, str] = {}
        self._constants: dict[str, str] = {}
        self._helpers: dict[str, str] = {}
        self.metadata: list[str] = []
        self.next_metadata = 20  # numbers below are the lowering's own
        self.in_place = 0  # long operations that were emitted where they stand (isa/floating_point_rounding.py)

    def declare(self, name: str, text: str) -> None:
        """`declare` once by name; `text` is the whole line."""
        self._declarations.setdefault(name, text)

    def helper(self, name: str, text: Callable[[], str]) -> None:
        """Defines a function once by name: code too long to repeat at every use."""
        if name not in self._helpers:
            self._helpers[name] = ""
            self._helpers[name] = text()

    def constant(self, type: str, value: str) -> str:
        """The name of a private constant (a table)."""
        key = f"{type} {value}"
        if key not in self._constants:
            self._constants[key] = f"@const{len(self._constants)}"
        return self._constants[key]

    def text(self) -> str:
        constants = [f"{name} = private unnamed_addr constant {key}, align 64" for key, name in self._constants.items()]
        return "\n".join([*constants, *self._declarations.values(), *self._helpers.values(), *self.functions, *self.metadata, ""])


class Emitter:
    """Appends instructions to the current place of one function."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.lines: list[str] = []
        self._next = 0
        self.debug = ""  # ", !dbg !7": appended to every instruction
        self.lanes = 1  # of constants made by `const`
        self.flushed: set[str] = set()  # names of float values that are known not to be subnormal (see isa/floating_point_rounding.py)
        self.saturated: set[str] = set()  # names of float values that are known to be in [0, 1]

    # ------------------------------------------------------------------------------------------------ raw text

    def name(self, hint: str = "v") -> str:
        self._next += 1
        return f"%{hint}{self._next}"

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}{self.debug}")

    def value(self, elem: str, n: int, text: str) -> V:
        """Emits `%v = text` and gives it as a V."""
        self._next += 1
        name = f"%v{self._next}"
        self.lines.append(f"  {name} = {text}{self.debug}")
        return V(elem, n, name)

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def new_label(self, hint: str) -> str:
        self._next += 1
        return f"{hint}.{self._next}"

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(self, condition: V, if_true: str, if_false: str) -> None:
        self.line(f"br i1 {condition.name}, label %{if_true}, label %{if_false}")

    # ------------------------------------------------------------------------------------------------ constants

    @staticmethod
    def const(elem: str, value: int, n: int = 1) -> V:
        """An integer constant of any element type: for float, double, half and bfloat `value` is the bit pattern."""
        if elem == "i1":
            text = "true" if value & 1 else "false"
        elif elem == "float":
            import struct

            f32 = struct.unpack("<f", struct.pack("<I", value))[0]
            if f32 != f32:  # keep the payload: widen the NaN by hand, without arithmetic
                bits = (value >> 31 << 63) | (0x7FF << 52) | ((value & 0x7FFFFF) << 29)
            else:
                bits = struct.unpack("<Q", struct.pack("<d", f32))[0]
            text = f"0x{bits:016X}"
        elif elem == "double":
            text = f"0x{value:016X}"
        elif elem == "half":
            text = f"0xH{value:04X}"
        elif elem == "bfloat":
            text = f"0xR{value:04X}"
        elif elem == "ptr":
            text = "null" if value == 0 else f"inttoptr (i64 {value} to ptr)"
        else:
            bits_ = WIDTH[elem]
            value &= (1 << bits_) - 1
            text = str(value - (1 << bits_) if value >> (bits_ - 1) else value)
        if n > 1:
            text = f"splat ({elem} {text})"
        return V(elem, n, text)

    @staticmethod
    def float_const(elem: str, value: float, n: int = 1) -> V:
        """A float or double constant from a Python float (rounded to float)."""
        import struct

        if elem == "float":
            return Emitter.const("float", struct.unpack("<I", struct.pack("<f", value))[0], n)
        return Emitter.const("double", struct.unpack("<Q", struct.pack("<d", value))[0], n)

    @staticmethod
    def lane_constants(elem: str, values: Sequence[int]) -> V:
        """A vector constant with one value a lane."""
        items = ", ".join(Emitter.const(elem, v).typed for v in values)
        return V(elem, len(values), f"<{items}>")

    @staticmethod
    def undefined(elem: str, n: int) -> V:
        return V(elem, n, "poison")

    def zero_like(self, a: V) -> V:
        return self.const(a.elem, 0, a.n)

    # ------------------------------------------------------------------------------------------------ lanes

    def broadcast(self, a: V, n: int) -> V:
        """Repeats each of `a.n` rows `n / a.n` times: lane l of the result is `a[l // (n / a.n)]`."""
        if a.n == n:
            return a
        if a.name.startswith("splat ("):
            return V(a.elem, n, a.name)
        if a.n == 1:
            if a.is_constant and a.name != "poison":
                return V(a.elem, n, f"splat ({a.typed})")
            first = self.value(a.elem, n, f"insertelement <{n} x {a.elem}> poison, {a.typed}, i64 0")
            return self.value(a.elem, n, f"shufflevector {first.typed}, {first.type} poison, <{n} x i32> zeroinitializer")
        repeat = n // a.n
        return self.shuffle(a, None, [lane // repeat for lane in range(n)])

    def same_lanes(self, *values: V) -> list[V]:
        n = max(v.n for v in values)
        return [self.broadcast(v, n) for v in values]

    def shuffle(self, a: V, b: V | None, lanes: Sequence[int]) -> V:
        """A vector of chosen elements of a (0 to n-1) and b (n to 2n-1); -1 is undefined. One element is a scalar."""
        if len(lanes) == 1 and 0 <= lanes[0] < 2 * a.n:
            return self.extract(a, lanes[0]) if b is None or lanes[0] < a.n else self.extract(b, lanes[0] - a.n)
        mask = ", ".join("i32 poison" if x < 0 else f"i32 {x}" for x in lanes)
        other = b.typed if b else f"{a.type} poison"
        return self.value(a.elem, len(lanes), f"shufflevector {a.typed}, {other}, <{len(lanes)} x i32> <{mask}>")

    def extract(self, a: V, lane: int | V) -> V:
        """One lane as a scalar; a V of lane number must be below a.n."""
        if a.n == 1:
            return a
        index = f"i64 {lane}" if isinstance(lane, int) else lane.typed
        return self.value(a.elem, 1, f"extractelement {a.typed}, {index}")

    def insert(self, a: V, scalar: V, lane: int | V) -> V:
        index = f"i64 {lane}" if isinstance(lane, int) else lane.typed
        return self.value(a.elem, a.n, f"insertelement {a.typed}, {scalar.typed}, {index}")

    def concat(self, parts: Sequence[V]) -> V:
        """The lanes of all parts (a power of two of them, all with equally many lanes), one after the other."""
        level = list(parts)
        while len(level) > 1:
            if level[0].n == 1:
                n = len(level)
                out = self.undefined(level[0].elem, n)
                for i, part in enumerate(level):
                    out = self.insert(out, part, i)
                return out
            n = level[0].n
            level = [self.shuffle(a, b, range(2 * n)) for a, b in zip(level[::2], level[1::2], strict=True)]
        return level[0]

    # ------------------------------------------------------------------------------------------------ operations

    def binary(self, op: str, a: V, b: V) -> V:
        if a.n != b.n:
            a, b = self.same_lanes(a, b)
        return self.value(a.elem, a.n, f"{op} {a.typed}, {b.name}")

    def add(self, a: V, b: V) -> V:
        return self.binary("add", a, b)

    def sub(self, a: V, b: V) -> V:
        return self.binary("sub", a, b)

    def mul(self, a: V, b: V) -> V:
        return self.binary("mul", a, b)

    def and_(self, a: V, b: V) -> V:
        return self.binary("and", a, b)

    def or_(self, a: V, b: V) -> V:
        return self.binary("or", a, b)

    def xor(self, a: V, b: V) -> V:
        return self.binary("xor", a, b)

    def shl(self, a: V, b: V) -> V:
        """Poison where b >= width."""
        return self.binary("shl", a, b)

    def lshr(self, a: V, b: V) -> V:
        """Poison where b >= width."""
        return self.binary("lshr", a, b)

    def ashr(self, a: V, b: V) -> V:
        """Poison where b >= width."""
        return self.binary("ashr", a, b)

    def fadd(self, a: V, b: V) -> V:
        """IEEE, to nearest even; so are fsub, fmul, fdiv and fma."""
        return self.binary("fadd", a, b)

    def fsub(self, a: V, b: V) -> V:
        return self.binary("fsub", a, b)

    def fmul(self, a: V, b: V) -> V:
        return self.binary("fmul", a, b)

    def fdiv(self, a: V, b: V) -> V:
        return self.binary("fdiv", a, b)

    def fneg(self, a: V) -> V:
        return self.value(a.elem, a.n, f"fneg {a.typed}")

    def fma(self, a: V, b: V, c: V) -> V:
        return self.intrinsic("llvm.fma", a, b, c)

    def not_(self, a: V) -> V:
        return self.xor(a, self.const(a.elem, -1, a.n))

    def neg(self, a: V) -> V:
        return self.sub(self.const(a.elem, 0, a.n), a)

    def icmp(self, predicate: str, a: V, b: V) -> V:
        """`predicate`: eq ne ult ule ugt uge slt sle sgt sge. Gives i1."""
        a, b = self.same_lanes(a, b)
        return self.value("i1", a.n, f"icmp {predicate} {a.typed}, {b.name}")

    def fcmp(self, predicate: str, a: V, b: V) -> V:
        """`predicate`: oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno. Gives i1."""
        a, b = self.same_lanes(a, b)
        return self.value("i1", a.n, f"fcmp {predicate} {a.typed}, {b.name}")

    def select(self, condition: V, a: V, b: V) -> V:
        n = max(condition.n, a.n, b.n)
        a, b = self.broadcast(a, n), self.broadcast(b, n)
        if condition.n > 1:  # a scalar condition may choose between vectors
            condition = self.broadcast(condition, n)
        return self.value(a.elem, n, f"select {condition.typed}, {a.typed}, {b.typed}")

    def convert(self, op: str, a: V, elem: str) -> V:
        """zext, sext, trunc, fptrunc, fpext, sitofp, uitofp, fptosi, fptoui, bitcast, ptrtoint, inttoptr."""
        if a.elem == elem:
            return a
        return self.value(elem, a.n, f"{op} {a.typed} to {vector_type(elem, a.n)}")

    def zext(self, a: V, elem: str) -> V:
        return self.convert("zext", a, elem)

    def sext(self, a: V, elem: str) -> V:
        return self.convert("sext", a, elem)

    def trunc(self, a: V, elem: str) -> V:
        return self.convert("trunc", a, elem)

    def resize(self, a: V, elem: str, signed: bool) -> V:
        """Widens (by sign or zero) or truncates an integer."""
        if WIDTH[elem] <= a.bits:
            return self.trunc(a, elem)
        return self.sext(a, elem) if signed else self.zext(a, elem)

    def bitcast(self, a: V, elem: str) -> V:
        """Reinterprets each element as another type of the same width."""
        if a.elem == elem:
            return a
        return self.convert("bitcast", a, elem)

    def reinterpret(self, a: V, elem: str, n: int) -> V:
        """Reinterprets the whole value: 32 x i32 as 64 x i16, 32 x i1 as one i32."""
        return self.value(elem, n, f"bitcast {a.typed} to {vector_type(elem, n)}")

    def intrinsic(self, name: str, *operands: V, result: str | None = None, lanes: int | None = None, mangle: bool = True) -> V:
        """Calls an intrinsic that is overloaded on its first operand's type: `llvm.fma` becomes `llvm.fma.v32f32`. `result` is
        the result's element type where it is not the first operand's. Operands get the same number of lanes."""
        values = self.same_lanes(*operands)
        elem, n = result or values[0].elem, lanes or values[0].n
        full = f"{name}.{suffix(values[0].elem, values[0].n)}" if mangle else name
        return self.call(elem, n, full, values)

    def call(self, elem: str, n: int, name: str, operands: Sequence[V], attributes: str = "") -> V:
        """Calls a function by its full name, declaring it; operands as they are."""
        result = vector_type(elem, n)
        self.module.declare(name, f"declare {result} @{name}({', '.join(v.type for v in operands)}) {attributes}")
        return self.value(elem, n, f"call {result} @{name}({', '.join(v.typed for v in operands)})")

    def flag_intrinsic(self, name: str, a: V, flag: bool) -> V:
        """llvm.ctlz, llvm.cttz, llvm.abs: with an immediate i1."""
        full = f"{name}.{suffix(a.elem, a.n)}"
        self.module.declare(full, f"declare {a.type} @{full}({a.type}, i1)")
        return self.value(a.elem, a.n, f"call {a.type} @{full}({a.typed}, i1 {'true' if flag else 'false'})")

    # ------------------------------------------------------------------------------------------------ memory

    def load(
        self, elem: str, n: int, pointer: V, align: int, invariant: bool = False, volatile: bool = False, ordered: bool = False
    ) -> V:
        """Loads n consecutive elements; `align` is in bytes. `invariant`: the memory never changes while the kernel runs. `ordered`: other
        threads write there, and every element is read as a whole, once and in order; a vector is split between elements at most."""
        if ordered and n == 1:
            return self.value(elem, 1, f"load atomic volatile {elem}, ptr {pointer.name} monotonic, align {align}")
        tail = ", !invariant.load !0" if invariant else ""
        kind = "load volatile" if volatile or ordered else "load"
        return self.value(elem, n, f"{kind} {vector_type(elem, n)}, ptr {pointer.name}, align {align}{tail}")

    def store(self, a: V, pointer: V, align: int, ordered: bool = False) -> None:
        """Stores consecutive elements. `ordered`: as for `load`."""
        if ordered and a.n == 1:
            self.line(f"store atomic volatile {a.typed}, ptr {pointer.name} monotonic, align {align}")
        else:
            self.line(f"{'store volatile' if ordered else 'store'} {a.typed}, ptr {pointer.name}, align {align}")

    def offset(self, pointer: V, byte_offset: int | V) -> V:
        """A pointer moved by bytes."""
        if isinstance(byte_offset, int):
            if byte_offset == 0:
                return pointer
            return self.value("ptr", 1, f"getelementptr i8, ptr {pointer.name}, i64 {byte_offset}")
        n = max(pointer.n, byte_offset.n)
        return self.value("ptr", n, f"getelementptr i8, {pointer.typed}, {byte_offset.typed}")
