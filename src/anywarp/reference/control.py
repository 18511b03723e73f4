"""Control flow (PTX ISA 9.7.12): bra, brx, call, ret, exit, and trap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from anywarp.ptx import tree
from anywarp.reference.errors import KernelTrap, Undefined
from anywarp.reference.layout import variable_bytes
from anywarp.reference.platform import FUNCTIONS, PlatformFunction
from anywarp.reference.program import Code, FunctionDecoder, KernelParameter, LocalVariable, Slot, Step
from anywarp.reference.semantics import meaning

if TYPE_CHECKING:
    from anywarp.reference.machine import Thread

Import = Callable[["Thread"], Any]  # gives an argument: bytes, or a number for a .reg parameter


@meaning("bra")
def _branch(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    target = decoder.label(instruction.operands[0]).index

    def branch(t: Thread) -> None:
        t.pc = target

    return branch


@meaning("brx")
def _branch_indexed(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    index = decoder.source(instruction.operands[0], "u32")
    table = decoder.scope.find(getattr(instruction.operands[1], "name", ""))
    if not isinstance(table, tree.BranchTargets):
        raise decoder.fail("brx.idx needs a .branchtargets list")
    targets = [decoder.label(tree.Symbol(name)).index for name in table.labels]

    def branch(t: Thread) -> None:
        at = index(t)
        if at >= len(targets):
            raise Undefined(f"brx.idx with index {at}, the list has {len(targets)} targets")
        t.pc = targets[at]

    return branch


@meaning("exit")
def _exit(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    return lambda t: t.exit()


@meaning("trap", "brkpt")
def _trap(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    name = instruction.opcode[0]

    def trap(t: Thread) -> None:
        raise KernelTrap(f"the kernel executed {name}")

    return trap


@meaning("ret")
def _return(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    def leave(t: Thread) -> None:
        if not t.frames:
            t.exit()
            return
        returned = [_export(t, r) for r in t.code.returns]
        t.code, t.pc, t.registers, t.frame, t.top, receive = t.frames.pop()
        for destination, value in zip(receive, returned):
            destination(t, value)

    return leave


def _export(t: Thread, entity: LocalVariable | Slot) -> bytes | int:
    if isinstance(entity, Slot):
        return int(t.registers[entity.index])
    at = t.frame + entity.offset
    return bytes(t.local[at : at + entity.bytes])


# --------------------------------------------------------------------------------------------------------------- call


@meaning("call")
def _call(decoder: FunctionDecoder, instruction: tree.Instruction) -> Step:
    operands = list(instruction.operands)
    results = _listed(operands)
    target = operands.pop(0)
    arguments = _listed(operands)
    function = decoder.loaded.function(target.name) if isinstance(target, tree.Symbol) else None
    if function is not None:
        returns, params = function.returns, function.params
    else:
        returns, params = _prototype(decoder, operands)
    if len(results) != len(returns) or len(arguments) > len(params):
        raise decoder.fail(
            f"the call has {len(arguments)} arguments and {len(results)} results, the function {len(params)} and {len(returns)}"
        )
    give = [_argument(decoder, operand, formal) for operand, formal in zip(arguments, params)]
    take = [_result(decoder, operand, formal) for operand, formal in zip(results, returns)]
    if function is not None:
        name = function.name
        if function.body is None:
            return _platform_call(_platform(decoder, name), give, take, [variable_bytes(r) for r in returns])
        loaded = decoder.loaded
        known: list[Code] = []  # decoded when first called: functions may call one another

        def direct(t: Thread) -> None:
            if not known:
                known.append(loaded.code(name))
            enter(t, known[0], [g(t) for g in give], take)

        return direct
    address = decoder.source(target, "b64" if decoder.loaded.module.address_size == 64 else "b32")

    def indirect(t: Thread) -> None:
        found = decoder.loaded.function_at(address(t))
        if found is None:
            raise Undefined(f"call of {address(t):#x}, which is no function")
        enter(t, decoder.loaded.code(found), [g(t) for g in give], take)

    return indirect


def _listed(operands: list[tree.Operand]) -> tuple[tree.Operand, ...]:
    """The items of `(a, b)` if that comes next, taken off the operands."""
    if operands and isinstance(operands[0], tree.Arguments):
        items = operands[0].items
        del operands[0]
        return items
    return ()


def enter(t: Thread, code: Code, values: Sequence[bytes | int], take: Sequence[Callable[[Thread, Any], None]]) -> None:
    """Calls a function: a new frame with the arguments in it."""
    base = -(-t.top // 16) * 16
    t.reserve(base + code.frame_bytes)
    if code.frame_bytes:
        t.local[base : base + code.frame_bytes] = bytes(code.frame_bytes)
    t.frames.append((t.code, t.pc, t.registers, t.frame, t.top, take))
    t.code, t.pc, t.registers, t.frame, t.top = code, 0, [0] * code.registers, base, base + code.frame_bytes
    for formal, value in zip(code.params, values):
        if isinstance(formal, Slot):
            t.registers[formal.index] = value if isinstance(value, int) else int.from_bytes(value, "little")
        else:
            data = value if isinstance(value, bytes) else value.to_bytes(formal.bytes, "little")
            t.local[base + formal.offset : base + formal.offset + min(len(data), formal.bytes)] = data[: formal.bytes]


def _prototype(decoder: FunctionDecoder, operands: Sequence[tree.Operand]) -> tuple[tuple[tree.Variable, ...], tuple[tree.Variable, ...]]:
    """Results and parameters of an indirect call, from its .callprototype or the first of its .calltargets."""
    found = decoder.scope.find(getattr(operands[0], "name", "")) if operands else None
    if found is None and operands:  # a list at module scope
        raise decoder.fail(f"no prototype '{getattr(operands[0], 'name', operands[0])}'")
    if isinstance(found, tree.CallTargets):
        function = decoder.loaded.function(found.functions[0])
        if function is not None:
            return function.returns, function.params
    if not isinstance(found, tree.CallPrototype):
        raise decoder.fail("an indirect call needs a prototype")
    return found.returns, found.params


def _argument(decoder: FunctionDecoder, operand: tree.Operand, formal: tree.Variable) -> Import:
    entity = decoder.scope.find(operand.name) if isinstance(operand, tree.Register | tree.Symbol) else None
    size = variable_bytes(formal)
    if isinstance(entity, LocalVariable):
        at, length = entity.offset, entity.bytes
        return lambda t: bytes(t.local[t.frame + at : t.frame + at + length])
    if isinstance(entity, KernelParameter):
        offset = entity.offset
        return lambda t: t.cta.machine.memory.read(t.cta.machine.param_base + offset, size)
    value = decoder.source(operand, formal.type)
    return value if formal.space == "reg" else (lambda t: value(t).to_bytes(size, "little"))


def _result(decoder: FunctionDecoder, operand: tree.Operand, formal: tree.Variable) -> Callable[[Thread, Any], None]:
    entity = decoder.scope.find(operand.name) if isinstance(operand, tree.Register | tree.Symbol) else None
    if isinstance(entity, LocalVariable):
        at, length = entity.offset, entity.bytes

        def store(t: Thread, value: bytes | int) -> None:
            data = value if isinstance(value, bytes) else value.to_bytes(length, "little")
            t.local[t.frame + at : t.frame + at + min(length, len(data))] = data[:length]

        return store
    write = decoder.target(operand, formal.type)
    return lambda t, value: write(t, value if isinstance(value, int) else int.from_bytes(value, "little"))


def _platform(decoder: FunctionDecoder, name: str) -> PlatformFunction:
    """A function that the module does not define: of the platform, or of the caller's `Options.externals` (looked up when called)."""

    def external(t: Thread, arguments: list[int]) -> int:
        given = t.cta.machine.options.externals.get(name) or FUNCTIONS.get(name)
        if given is None:
            raise KernelTrap(f"call of '{name}', which is declared but not defined")
        return given(t, arguments)

    return external


def _platform_call(function: PlatformFunction, give: list[Import], take: list[Callable[[Thread, Any], None]], sizes: list[int]) -> Step:
    def step(t: Thread) -> None:
        values = [g(t) for g in give]
        numbers = [v if isinstance(v, int) else int.from_bytes(v, "little") for v in values]
        result = function(t, numbers)
        if take:
            take[0](t, (result & ((1 << 8 * sizes[0]) - 1)).to_bytes(sizes[0], "little"))

    return step
