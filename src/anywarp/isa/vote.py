"""Votes, matches and elections among the lanes of a warp (PTX ISA 9.7.13.8 to 9.7.13.14).

The lanes that a `membermask` names execute the instruction together. What the lanes of one execution name may differ: two
halves of a warp, each with its own mask, may vote at the same instruction. So a mask that is the same in all lanes (`V` of one lane)
gives a uniform result, and a varying one is handled lane by lane. A lane's members are the active lanes that its mask names; lanes
named but not active together are undefined behaviour in PTX and do not count here.

Reductions (`redux.sync`) are in `reduction`, shuffles in `shuffle`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anywarp.isa.base import Warp, instruction
from anywarp.isa.shape import Shape

if TYPE_CHECKING:
    from anywarp.lower.emit import V
    from anywarp.lower.warp import WarpEmitter

ALL = 0xFFFFFFFF
Lanes = dict[int, tuple[Any, ...]]


def members(w: WarpEmitter, membermask: V | None) -> V:
    """The active lanes that each lane's membermask names, as i32: of one lane where the mask is uniform."""
    if membermask is None or membermask.name == "-1":
        return w.active
    if w.is_full:
        return membermask
    return w.and_(membermask, w.active)


def member_lanes(lanes: Lanes, membermask: int) -> list[int]:
    """The same for `reference`: the executing lanes that a mask names."""
    return [lane for lane in lanes if membermask >> lane & 1]


def mask_shape(membermask: Shape) -> Shape:
    """Uniform where the membermask is."""
    return Shape(1) if membermask.is_uniform else Shape(32)


class VoteInstruction(Warp):
    """What the forms of vote have in common."""

    def shape(self, *operands: Shape) -> Shape:
        return mask_shape(operands[1]) if len(operands) > 1 else Shape(1)

    def votes(self, lanes: Lanes) -> dict[int, tuple[list[int], int]]:
        """For each lane: its members' predicates, and the ballot."""
        result = {}
        for lane, (_, *rest) in lanes.items():
            group = member_lanes(lanes, rest[0] if rest else ALL)
            result[lane] = [lanes[i][0] for i in group], sum(lanes[i][0] << i for i in group)
        return result


@instruction
class VoteMode(VoteInstruction):
    """vote.sync.{all,any,uni}: a reduction of the members' predicates"""

    syntax = "vote.sync.mode.pred d, {!}a, membermask"
    modifiers = {"mode": "all any uni"}
    types = {"d": "pred", "a": "pred", "membermask": "b32"}
    section = "9.7.13.9"
    since = (6, 0)
    target = 30
    mode: Any

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        def combine(votes: list[int]) -> bool:
            return {"all": all(votes), "any": any(votes), "uni": len(set(votes)) <= 1}[self.mode]

        return {lane: int(combine(votes)) for lane, (votes, _) in self.votes(lanes).items()}

    def lower(self, w: WarpEmitter, a: V, membermask: V | None = None) -> V:
        group, votes = members(w, membermask), w.mask_of(a)
        zero = w.const("i32", 0)
        if self.mode == "all":
            return w.icmp("eq", w.and_(w.not_(votes), group), zero)
        in_favour = w.and_(votes, group)
        if self.mode == "any":
            return w.icmp("ne", in_favour, zero)
        return w.or_(w.icmp("eq", in_favour, zero), w.icmp("eq", in_favour, group))


@instruction
class VoteModeUnsynchronised(VoteMode):
    """vote.{all,any,uni}: the deprecated form without a membermask, among the active lanes"""

    syntax = "vote.mode.pred d, {!}a"
    section = "9.7.13.8"
    since = (1, 2)
    target = 12


@instruction
class VoteBallot(VoteInstruction):
    """vote.sync.ballot: the members' predicates as a bit mask"""

    syntax = "vote.sync.ballot.b32 d, {!}a, membermask"
    types = {"d": "b32", "a": "pred", "membermask": "b32"}
    section = "9.7.13.9"
    since = (6, 0)
    target = 30

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        return {lane: ballot for lane, (_, ballot) in self.votes(lanes).items()}

    def lower(self, w: WarpEmitter, a: V, membermask: V | None = None) -> V:
        return w.and_(w.mask_of(a), members(w, membermask))


@instruction
class VoteBallotUnsynchronised(VoteBallot):
    """vote.ballot: the deprecated form without a membermask, among the active lanes"""

    syntax = "vote.ballot.b32 d, {!}a"
    section = "9.7.13.8"
    since = (2, 0)
    target = 20


@instruction
class ActiveMask(Warp):
    """activemask: the lanes that execute this instruction together"""

    syntax = "activemask.b32 d"
    types = {"d": "b32"}
    section = "9.7.13.11"
    since = (6, 2)
    target = 30
    uniform_result = True

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        mask = sum(1 << lane for lane in lanes)
        return dict.fromkeys(lanes, mask)

    def lower(self, w: WarpEmitter) -> V:
        return w.active


@instruction
class MatchAny(Warp):
    """match.any.sync: which members hold the same value"""

    syntax = "match.any.sync.type d, a, membermask"
    modifiers = {"type": "b32 b64"}
    types = {"d": "b32", "a": "type", "membermask": "b32"}
    section = "9.7.13.10"
    since = (6, 0)
    target = 70

    def shape(self, *operands: Shape) -> Shape:
        return mask_shape(operands[1]) if operands[0].is_uniform else Shape(32)

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        return {lane: sum(1 << i for i in member_lanes(lanes, mask) if lanes[i][0] == a) for lane, (a, mask) in lanes.items()}

    def lower(self, w: WarpEmitter, a: V, membermask: V) -> V:
        group = members(w, membermask)
        if a.n == 1:
            return group
        if group.n == 1:
            return equal_lanes(w, a, group)
        return w.and_(equal_lanes(w, a, w.active), group)


@instruction
class MatchAll(Warp):
    """match.all.sync: whether all members hold the same value"""

    syntax = "match.all.sync.type d{|p}, a, membermask"
    modifiers = {"type": "b32 b64"}
    types = {"d": "b32", "p": "pred", "a": "type", "membermask": "b32"}
    section = "9.7.13.10"
    since = (6, 0)
    target = 70

    def shape(self, *operands: Shape) -> Shape:
        return mask_shape(operands[1])

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        result = {}
        for lane, (_, mask) in lanes.items():
            group = member_lanes(lanes, mask)
            same = len({lanes[i][0] for i in group}) <= 1
            result[lane] = (sum(1 << i for i in group) if same else 0, int(same))
        return result

    def lower(self, w: WarpEmitter, a: V, membermask: V) -> tuple[V, V]:
        group = members(w, membermask)
        if a.n == 1:
            return group, w.const("i1", 1, group.n)
        if group.n == 1:
            first = w.extract(a, 0 if group.name == "-1" else some_lane(w, group))
            equal = w.mask_of(w.icmp("eq", a, first))
        else:
            equal = equal_lanes(w, a, w.active)
        same = w.icmp("eq", w.and_(equal, group), group)
        return w.select(same, group, w.const("i32", 0)), same


@instruction
class Elect(Warp):
    """elect.sync: one of the members becomes the leader: here the lowest, always"""

    syntax = "elect.sync d|p, membermask"
    types = {"d": "b32", "p": "pred", "membermask": "b32"}
    section = "9.7.13.14"
    since = (8, 0)
    target = 90

    def reference(self, lanes: Lanes) -> dict[int, Any]:
        result = {}
        for lane, (mask,) in lanes.items():
            leader = min(member_lanes(lanes, mask), default=0)
            result[lane] = (leader, int(lane == leader))
        return result

    def lower(self, w: WarpEmitter, membermask: V) -> tuple[V, V]:
        group = members(w, membermask)
        leader = w.const("i32", 0) if group.name == "-1" else some_lane(w, group)
        return w.wide(leader), w.icmp("eq", w.lane_ids(), leader)


def some_lane(w: WarpEmitter, mask: V) -> V:
    """The number of the lowest lane of a mask; 0 (not poison) for an empty one: code that blends may run with no lane."""
    return w.and_(w.flag_intrinsic("llvm.cttz", mask, False), w.const("i32", 31))


def equal_lanes(w: WarpEmitter, a: V, lanes: V) -> V:
    """For each lane, the mask of those of `lanes` (one i32) that hold the same value of `a` (32 lanes).

    One round for each distinct value: compare all lanes with the lowest that is left. All equal is one round, the usual case. What two
    rounds leave over, all lanes are compared with each lane: 32 distinct values take 60 ns so, and took 400 in rounds."""
    name = f"anywarp.match.{a.elem}"

    def text() -> str:
        ty, splat = a.type, "<32 x i32> zeroinitializer"
        w.module.declare("llvm.cttz.i32", "declare i32 @llvm.cttz.i32(i32, i1)")
        return f"""define internal <32 x i32> @{name}({ty} %a, i32 %lanes) nounwind {{
entry:
  %memory = alloca {ty}, align 64
  br label %round
round:
  %left = phi i32 [ %lanes, %entry ], [ %rest, %again ]
  %done = phi <32 x i32> [ zeroinitializer, %entry ], [ %result, %again ]
  %is_second = phi i1 [ false, %entry ], [ true, %again ]
  %lowest = call i32 @llvm.cttz.i32(i32 %left, i1 false)
  %leader = and i32 %lowest, 31
  %value = extractelement {ty} %a, i32 %leader
  %one = insertelement {ty} poison, {a.elem} %value, i64 0
  %values = shufflevector {ty} %one, {ty} poison, {splat}
  %equal = icmp eq {ty} %a, %values
  %all = bitcast <32 x i1> %equal to i32
  %mask = and i32 %all, %lanes
  %first = insertelement <32 x i32> poison, i32 %mask, i64 0
  %masks = shufflevector <32 x i32> %first, <32 x i32> poison, {splat}
  %result = select <32 x i1> %equal, <32 x i32> %masks, <32 x i32> %done
  %not = xor i32 %mask, -1
  %rest = and i32 %left, %not
  %more = icmp ne i32 %rest, 0
  br i1 %more, label %again, label %end
again:
  br i1 %is_second, label %many, label %round
many:
  store {ty} %a, ptr %memory, align 64
  br label %each
each:
  %i = phi i32 [ 0, %many ], [ %i.next, %each ]
  %found = phi <32 x i32> [ zeroinitializer, %many ], [ %found.next, %each ]
  %place = getelementptr {a.elem}, ptr %memory, i32 %i
  %v = load {a.elem}, ptr %place
  %v.one = insertelement {ty} poison, {a.elem} %v, i64 0
  %v.all = shufflevector {ty} %v.one, {ty} poison, {splat}
  %v.equal = icmp eq {ty} %a, %v.all
  %bit = shl i32 1, %i
  %bit.one = insertelement <32 x i32> poison, i32 %bit, i64 0
  %bits = shufflevector <32 x i32> %bit.one, <32 x i32> poison, {splat}
  %matching = select <32 x i1> %v.equal, <32 x i32> %bits, <32 x i32> zeroinitializer
  %found.next = or <32 x i32> %found, %matching
  %i.next = add i32 %i, 1
  %i.more = icmp ult i32 %i.next, 32
  br i1 %i.more, label %each, label %whole
whole:
  %members = insertelement <32 x i32> poison, i32 %lanes, i64 0
  %all.members = shufflevector <32 x i32> %members, <32 x i32> poison, {splat}
  %within = and <32 x i32> %found.next, %all.members
  ret <32 x i32> %within
end:
  ret <32 x i32> %result
}}"""

    w.module.helper(name, text)
    return w.value("i32", 32, f"call <32 x i32> @{name}({a.typed}, {lanes.typed})")
