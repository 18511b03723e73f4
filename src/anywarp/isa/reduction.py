"""Reductions over the lanes of a warp: redux.sync (PTX ISA 9.7.13.12).

Lanes that are no members are replaced by the operation's neutral element, and the vector is reduced. f32 minimum and maximum go through
integers that have the numbers' order (so -0 is below +0, and NaN can be told apart). Where the membermask varies from lane to lane,
one round is done for each group. See `vote` for what a membermask means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa.base import OperandType, Warp, instruction
from anywarp.isa.shape import Shape
from anywarp.isa.vote import Lanes, mask_shape, member_lanes, members, some_lane

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.warp import WarpEmitter

NAN = 0x7FFFFFFF
ALL = 0xFFFFFFFF


class Reduction(Warp):
    """What the integer and the floating-point forms have in common."""

    section = "9.7.13.12"
    op: Any

    def operand_type(self, name: str) -> OperandType:
        return "b32" if name == "membermask" else str(self.type)

    def shape(self, *operands: Shape) -> Shape:
        return mask_shape(operands[1])

    def reduce(self, values: list[int]) -> int:
        """The reduction of some bit patterns."""
        raise NotImplementedError

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        return {lane: self.reduce([lanes[i][0] for i in member_lanes(lanes, mask)]) for lane, (_, mask) in lanes.items()}

    def vector(self, w: WarpEmitter, a: V, mask: V) -> V:
        """The code that reduces the lanes of one i32 mask to one value."""
        raise NotImplementedError

    def same(self, w: WarpEmitter, a: V, group: V) -> V:
        """The code where all members hold the same value."""
        raise NotImplementedError

    def lower(self, w: WarpEmitter, a: V, membermask: V) -> V:
        group = members(w, membermask)
        if a.n == 1:
            return self.same(w, a, group)
        return self.vector(w, a, group) if group.n == 1 else self.groups(w, a, group)

    def groups(self, w: WarpEmitter, a: V, group: V) -> V:
        """Reduces each set of lanes that name the same members, in a function of its own (it loops)."""
        name = "anywarp." + ".".join(self.opcode)

        def text() -> str:
            from anywarp.lower.warp import WarpEmitter

            g = WarpEmitter(w.module, w.launch, w.cta, w.warp)
            value, masks = a._replace(name="%a"), group._replace(name="%groups")
            left = g.value("i32", 1, "phi i32 [ %lanes, %entry ], [ %rest, %round ]")
            done = g.value(a.elem, a.n, f"phi {a.type} [ zeroinitializer, %entry ], [ %result, %round ]")
            leader = some_lane(g, left)
            mask = g.extract(masks, leader)
            reduced = self.vector(g, value, mask)
            g.line(f"%result = select {g.lanes_of(mask).typed}, {g.wide(reduced).typed}, {done.typed}")
            # the leader leaves even if its mask does not name it (undefined behaviour must not loop for ever)
            gone = g.or_(mask, g.shl(g.const("i32", 1), leader))
            g.line(f"%rest = and i32 {left.name}, {g.not_(gone).name}")
            g.line("%more = icmp ne i32 %rest, 0")
            head = f"define internal {a.type} @{name}({a.type} %a, {group.type} %groups, i32 %lanes) nounwind {{"
            body = "\n".join(g.lines)
            return f"""{head}
entry:
  br label %round
round:
{body}
  br i1 %more, label %round, label %end
end:
  ret {a.type} %result
}}"""

        w.module.helper(name, text)
        return w.value(a.elem, a.n, f"call {a.type} @{name}({a.typed}, {group.typed}, {w.active.typed})")


@instruction
class ReduxInteger(Reduction):
    """redux.sync: sum, minimum, maximum or bitwise combination of the members' integers"""

    syntax = ("redux.sync.op.type dst, src, membermask", "redux.sync.bitop.b32 dst, src, membermask")
    modifiers = {"op": "add min max", "type": "u32 s32", "bitop": "and or xor"}
    since = (7, 0)
    target = 80
    bitop: Any

    def operand_type(self, name: str) -> OperandType:
        return "b32" if name == "membermask" or self.bitop else str(self.type)

    def reduce(self, values: list[int]) -> int:
        def number(v: int) -> int:
            return v - (v >> 31 << 32) if self.type == "s32" else v

        op = self.op or self.bitop
        if op in ("min", "max"):
            return {"min": min, "max": max}[op](values, key=number, default=0)
        result = ALL if op == "and" else 0
        for v in values:
            result = {"add": result + v, "and": result & v, "or": result | v, "xor": result ^ v}[op]
        return result & ALL

    def vector(self, w: WarpEmitter, a: V, mask: V) -> V:
        op = self.op or self.bitop
        signed = self.type == "s32"
        if op in ("min", "max"):
            neutral = {("min", False): -1, ("min", True): ALL >> 1, ("max", False): 0, ("max", True): 1 << 31}[op, signed]
            op = ("s" if signed else "u") + op
        else:
            neutral = -1 if op == "and" else 0
        if mask.name != "-1":
            a = w.select(w.lanes_of(mask), a, w.const("i32", neutral))
        return w.intrinsic(f"llvm.vector.reduce.{op}", a, result="i32", lanes=1)

    def same(self, w: WarpEmitter, a: V, group: V) -> V:
        op = self.op or self.bitop
        if op == "add":
            return w.mul(a, w.intrinsic("llvm.ctpop", group))
        if op == "xor":
            return w.mul(a, w.and_(w.intrinsic("llvm.ctpop", group), w.const("i32", 1)))
        return w.broadcast(a, group.n)


@instruction
class ReduxFloat(Reduction):
    """redux.sync.{min,max}.f32: NaNs do not count (all NaN: NaN) or, with .NaN, win; +0 is above -0"""

    syntax = "redux.sync.op{.abs}{.NaN}.type dst, src, membermask"
    modifiers = {"op": "min max", "type": "f32"}
    since = (8, 6)
    target = 100
    abs: bool
    NaN: bool

    def reduce(self, values: list[int]) -> int:
        if self.abs:
            values = [v & 0x7FFFFFFF for v in values]
        numbers = [v for v in values if v & 0x7FFFFFFF <= 0x7F800000]
        if not numbers or (self.NaN and len(numbers) < len(values)):
            return NAN
        best = min if self.op == "min" else max
        return best(numbers, key=lambda v: -(v & 0x7FFFFFFF) - 1 if v >> 31 else v)

    def vector(self, w: WarpEmitter, a: V, mask: V) -> V:
        bits, is_nan = self._parts(w, a)
        negative = w.ashr(bits, w.const("i32", 31))
        keys = bits if self.abs else w.xor(bits, w.and_(negative, w.const("i32", NAN)))
        counts = w.not_(is_nan) if mask.name == "-1" else w.and_(w.lanes_of(mask), w.not_(is_nan))
        neutral = w.const("i32", NAN if self.op == "min" else 1 << 31)  # no number has this key
        best = w.intrinsic(f"llvm.vector.reduce.s{self.op}", w.select(counts, keys, neutral), result="i32", lanes=1)
        result = best if self.abs else w.xor(best, w.and_(w.ashr(best, w.const("i32", 31)), w.const("i32", NAN)))
        no_number = w.icmp("eq", best, neutral)
        if self.NaN:
            no_number = w.or_(no_number, w.icmp("ne", w.and_(w.mask_of(is_nan), mask), w.const("i32", 0)))
        return w.bitcast(w.select(no_number, w.const("i32", NAN), result), "float")

    def same(self, w: WarpEmitter, a: V, group: V) -> V:
        bits, is_nan = self._parts(w, a)
        return w.broadcast(w.bitcast(w.select(is_nan, w.const("i32", NAN), bits), "float"), group.n)

    def _parts(self, w: WarpEmitter, a: V) -> tuple[V, V]:
        """The bits (without sign for .abs), and whether it is a NaN."""
        bits = w.bitcast(a, "i32")
        magnitude = w.and_(bits, w.const("i32", NAN))
        return (magnitude if self.abs else bits), w.icmp("ugt", magnitude, w.const("i32", 0x7F800000))
