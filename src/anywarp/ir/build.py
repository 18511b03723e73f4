"""A PTX entry to an `ir.Function`: flattened, decoded, cut into blocks, loops put in order, turned into SSA.

The steps, each over the whole kernel: flatten (scopes, inlining) → decide which call parameters are registers → decode into blocks of
operations over registers → remove what is unreachable, give every loop one way in and one latch (`raw_blocks`) → place phis (pruned by
liveness, and at loop exits, so that no value leaves a loop but through a phi) → rename.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywarp.analysis import cfg
from anywarp.ir import builtin, model
from anywarp.ir.decode import Decoder, access_type
from anywarp.ir.flatten import (
    Flat,
    FlatCall,
    FlatJump,
    FlatLabel,
    FlatMove,
    FlatService,
    Flattener,
    Item,
    variable_alignment,
    variable_bytes,
)
from anywarp.ir.model import Address, Constant, Scalar, Undefined, Value
from anywarp.ir.names import CallParameter, LabelName, Register, Scope, is_parameter_access
from anywarp.ir.operands import RawAddress, RawOperation, RawScalar
from anywarp.ir.raw_blocks import RawBlock, tidy
from anywarp.isa import types
from anywarp.ptx import tree
from anywarp.ptx.diagnostics import PtxError


def build(module: tree.Module, entry: str) -> model.Function:
    """Builds the IR of an entry, with the device functions that stay functions. Raises PtxError (bad names, operands) and
    UnsupportedInstruction."""
    function = module.functions.get(entry)
    if function is None or function.body is None or function.kind != "entry":
        raise PtxError(f"the module has no entry {entry!r}")
    flattener = Flattener(module, function)
    result, decoder = _build_one(flattener, None)
    waiting = sorted(decoder.called)
    while waiting:
        name = waiting.pop()
        if name in result.callees:
            continue
        callee, its_decoder = _build_one(Flattener(module, module.functions[name], flattener), decoder)
        result.callees[name] = callee
        result.uses_dynamic_shared |= callee.uses_dynamic_shared
        waiting += sorted(its_decoder.called)
    result.symbols = list(decoder.symbols)
    return result


def _build_one(flattener: Flattener, caller: Decoder | None) -> tuple[model.Function, Decoder]:
    items = flattener.run()
    _place_call_parameters(flattener, items)
    blocks, decoder = _cut(flattener, items, caller)
    ssa = _Ssa(tidy(blocks, decoder.counter.register), decoder)
    function = flattener.function
    result = model.Function(
        name=function.name,
        blocks=ssa.run(),
        parameters=parameters(function) if function.kind == "entry" else [],
        shared=flattener.shared,
        local=flattener.local,
        symbols=[],
        uses_dynamic_shared=flattener.uses_dynamic_shared,
        source=function,
        values=ssa.values,
    )
    return result, decoder


def parameters(function: tree.Function) -> list[model.Parameter]:
    """The parameters of an entry with their places in the parameter buffer."""
    result, offset = [], 0
    for parameter in function.params:
        alignment = variable_alignment(parameter)
        offset = -(-offset // alignment) * alignment
        size = variable_bytes(parameter)
        result.append(model.Parameter(parameter.name, offset, size, alignment))
        offset += size
    return result


# ------------------------------------------------------------------------------------------------------ call parameters


def _place_call_parameters(flattener: Flattener, items: list[Item]) -> None:
    """Makes registers of the call parameters whose accesses all agree on their parts, and puts the others in local memory."""
    for item in items:
        if not isinstance(item, Flat):
            continue
        instruction = item.instruction
        is_access = is_parameter_access(instruction.opcode)
        for position, operand in enumerate(instruction.operands):
            if isinstance(operand, tree.Address) and operand.base is not None:
                entity = item.scope.find(operand.base.name)
                if isinstance(entity, CallParameter):
                    if not is_access or position != (1 if instruction.opcode[0] == "ld" else 0):
                        entity.has_address = True
                        continue
                    type, count = access_type(instruction.opcode)
                    start = operand.offset + (operand.base.offset if isinstance(operand.base, tree.Symbol) else 0)
                    bits = types.width(type)
                    entity.accesses |= {(start + i * bits // 8, bits) for i in range(count)}
            elif isinstance(operand, (tree.Symbol, tree.Register)):
                entity = item.scope.find(operand.name)
                if isinstance(entity, CallParameter):
                    entity.has_address = True
    for parameter in flattener.call_parameters:
        end = 0
        agrees = not parameter.has_address
        for offset, bits in sorted(parameter.accesses):
            agrees &= offset >= end
            end = offset + bits // 8
        if agrees:
            parameter.parts = {offset: flattener.counter.register(bits) for offset, bits in parameter.accesses}
        else:
            parameter.local_offset = flattener.local.add(
                f"{parameter.name}.{len(flattener.local.offsets)}", parameter.bytes, max(parameter.alignment, 8)
            )


# -------------------------------------------------------------------------------------------------------------- blocks


def _cut(flattener: Flattener, items: list[Item], caller: Decoder | None) -> tuple[list[RawBlock], Decoder]:
    """Decodes the items into basic blocks; the first is empty and jumps to the body's first."""
    decoder = Decoder(flattener, caller)
    blocks = [RawBlock("entry"), RawBlock("body")]
    labels: dict[str, RawBlock] = {}
    fresh = 0

    def new(name: str = "") -> RawBlock:
        nonlocal fresh
        fresh += 1
        block = RawBlock(name or f"b{fresh}")
        blocks.append(block)
        decoder.out = block.operations
        return block

    decoder.out = blocks[1].operations
    for item in items:
        block = blocks[-1]
        if isinstance(item, FlatLabel):
            labels[item.name] = new(item.name)
            continue
        if isinstance(item, FlatJump):
            _end(block, item.target, item.guard, item.guard_negated, item.scope, item.line, decoder)
            new()
            continue
        if isinstance(item, FlatMove):
            decoder.move(item)
            continue
        if isinstance(item, FlatService):
            decoder.service(item)
            continue
        if isinstance(item, FlatCall):
            decoder.call(item)
            continue
        instruction, scope = item.instruction, item.scope
        name = instruction.opcode[0]
        line = instruction.line
        if name in ("bra", "brx") and len(instruction.operands) != (1 if name == "bra" else 2):
            raise PtxError(f"{instruction.mnemonic} does not take these {len(instruction.operands)} operands", line, instruction.column)
        if name == "bra":
            target = _label(instruction.operands[0], scope, line)
            _end(block, target, instruction.guard, instruction.guard_negated, scope, line, decoder)
            block.is_uniform = "uni" in instruction.opcode
            new()
        elif name == "brx":
            if instruction.guard is not None:  # lanes with the guard go through a block of their own
                _end(block, f"guarded.{fresh}", instruction.guard, instruction.guard_negated, scope, line, decoder)
                block.targets[1] = behind = f"behind.{fresh}"
                labels[block.targets[0]] = guarded = new()
                block = guarded
            table = scope.find(getattr(instruction.operands[1], "name", ""))
            if not isinstance(table, tree.BranchTargets):
                raise PtxError("brx.idx needs a .branchtargets list", line, instruction.column)
            block.condition = decoder.source(instruction.operands[0], "u32", scope, line)
            block.kind = "switch"
            block.targets = [_label(tree.Symbol(label), scope, line) for label in table.labels]
            block.is_uniform = "uni" in instruction.opcode
            following = new()
            if instruction.guard is not None:
                labels[behind] = following
        elif name in ("ret", "exit"):
            if instruction.guard is None:
                block.kind = "exit"
            else:
                block.condition = decoder.predicate(instruction.guard, instruction.guard_negated, scope, line)
                block.kind, block.targets = "branch", ["", ""]  # to an exit block, made by _resolve
            new()
        else:
            decoder.decode(instruction, scope)
            operation = block.operations[-1] if block.operations else None
            if operation is not None and operation.op.is_cut:
                if operation.guard is not None:  # lanes with the guard go through a block of their own
                    block.operations.pop()
                    block.kind, block.condition, block.targets = "branch", operation.guard, [f"guarded.{fresh}", f"behind.{fresh}"]
                    operation.guard = None
                    labels[block.targets[0]] = guarded = new()
                    guarded.operations.append(operation)
                    labels[block.targets[1]] = new()
                else:
                    new()
    return _resolve(blocks, labels), decoder


def _label(operand: tree.Operand, scope: Scope, line: int) -> str:
    name = getattr(operand, "name", "")
    entity = scope.find(name)
    if not isinstance(entity, LabelName):
        raise PtxError(f"{name!r} is not a label", line)
    return entity.name


def _end(block: RawBlock, target: str, guard: str | None, negated: bool, scope: Scope, line: int, decoder: Decoder) -> None:
    block.line = line
    if guard is None:
        block.kind, block.targets = "jump", [target]
    else:
        block.condition = decoder.predicate(guard, negated, scope, line)
        block.kind, block.targets = "branch", [target, ""]


def _resolve(blocks: list[RawBlock], labels: dict[str, RawBlock]) -> list[RawBlock]:
    """Links targets; the end of the body is an exit."""
    exit_block = RawBlock("exit", kind="exit")
    for i, block in enumerate(blocks):
        following = blocks[i + 1] if i + 1 < len(blocks) else exit_block
        if block.kind == "fall":
            block.kind, block.next = "jump", [following]
        elif block.kind == "branch" and block.targets == ["", ""]:
            block.next = [exit_block, following]
        else:
            block.next = [labels[t] if t else following for t in block.targets]
    return [*blocks, exit_block]


# ----------------------------------------------------------------------------------------------------------------- SSA


class _Ssa:
    """Cytron's construction over register bit sets (Python integers), in layout order."""

    def __init__(self, raw: list[RawBlock], decoder: Decoder) -> None:
        numbers = {id(b): i for i, b in enumerate(raw)}
        graph = [[numbers[id(n)] for n in b.next] for b in raw]
        loops = cfg.find_loops(graph, cfg.immediate_dominators(graph))
        order = cfg.layout_order(graph, loops)
        position = {old: new for new, old in enumerate(order)}
        self.raw = [raw[i] for i in order]
        self.graph = [[position[s] for s in graph[i]] for i in order]
        self.idom = cfg.immediate_dominators(self.graph)
        self.loops = cfg.find_loops(self.graph, self.idom)
        self.preds = cfg.predecessors(self.graph)
        self.registers = decoder.counter.next
        self.widths: dict[int, int] = {}
        self.values = 0

    def run(self) -> list[model.Block]:
        uses, defs = self._uses_and_definitions()
        live_in = self._liveness(uses, defs)
        phis = self._place(defs, live_in)
        return self._rename(phis)

    def _uses_and_definitions(self) -> tuple[list[int], list[int]]:
        uses, defs = [], []
        widths = self.widths
        for block in self.raw:
            use = define = 0
            for op in block.operations:
                for r in _registers(op):
                    bit = 1 << r.index
                    widths[r.index] = r.width
                    if not define & bit:
                        use |= bit
                for r in op.results:
                    widths[r.index] = r.width
                    define |= 1 << r.index
            if isinstance(block.condition, Register):
                bit = 1 << block.condition.index
                widths[block.condition.index] = block.condition.width
                if not define & bit:
                    use |= bit
            uses.append(use)
            defs.append(define)
        return uses, defs

    def _liveness(self, uses: list[int], defs: list[int]) -> list[int]:
        live_in = [0] * len(self.raw)
        changed = True
        while changed:
            changed = False
            for i in range(len(self.raw) - 1, -1, -1):
                out = 0
                for s in self.graph[i]:
                    out |= live_in[s]
                new = uses[i] | (out & ~defs[i])
                if new != live_in[i]:
                    live_in[i] = new
                    changed = True
        return live_in

    def _place(self, defs: list[int], live_in: list[int]) -> list[dict[int, model.Phi]]:
        """Phis by block and register."""
        frontiers = cfg.dominance_frontiers(self.graph, self.idom)
        wanted = [0] * len(self.raw)  # registers that need a phi
        for loop in self.loops.all:
            defined = 0
            for b in loop.blocks:
                defined |= defs[b]
            for _, outside in loop.exits(self.graph):
                wanted[outside] |= defined & live_in[outside]
        changed = True
        while changed:  # a phi is a definition too
            changed = False
            for i in range(len(self.raw)):
                have = defs[i] | wanted[i]
                for f in frontiers[i]:
                    new = have & live_in[f] & ~wanted[f]
                    if new:
                        wanted[f] |= new
                        changed = True
        return [dict.fromkeys(_bits(w)) for w in wanted]  # type: ignore[misc]

    def _value(self, width: int) -> Value:
        self.values += 1
        return Value(self.values - 1, width)

    def _rename(self, phis: list[dict[int, model.Phi]]) -> list[model.Block]:
        blocks = [model.Block(b.name) for b in self.raw]
        for i, block in enumerate(blocks):
            block.index = i
            block.predecessors = [blocks[p] for p in self.preds[i]]
            for register in phis[i]:
                value = self._value(self.widths[register])
                phi = model.Phi(value, block, register)
                phi.operands = [Undefined(value.width)] * len(block.predecessors)
                value.definition = phi
                phis[i][register] = phi
                block.phis.append(phi)
        children: list[list[int]] = [[] for _ in blocks]
        for i, d in enumerate(self.idom):
            if i:
                children[d].append(i)
        stacks: dict[int, list[Scalar]] = {}

        def current(r: RawScalar) -> Scalar:
            if not isinstance(r, Register):
                return r
            stack = stacks.get(r.index)
            return stack[-1] if stack else Undefined(r.width)

        work: list[tuple[int, list[int] | None]] = [(0, None)]
        while work:
            i, pushed = work.pop()
            if pushed is not None:
                for register in pushed:
                    stacks[register].pop()
                continue
            pushed = []
            block, raw = blocks[i], self.raw[i]
            for register, phi in phis[i].items():
                stacks.setdefault(register, []).append(phi.result)
                pushed.append(register)
            for op in raw.operations:
                operands = [_map(o, current) for o in op.operands]
                if len(op.results) == 1 == len(operands) and _is_copy(op):  # a name, not a value
                    stacks.setdefault(op.results[0].index, []).append(operands[0])
                    pushed.append(op.results[0].index)
                    continue
                results = [self._value(r.width) for r in op.results]
                operation = model.Operation(op.op, operands, op.types, results, op.result_types, op.line)
                operation.guard = current(op.guard) if op.guard is not None else None
                operation.extra = op.extra
                for r, value in zip(op.results, results):
                    value.definition = operation
                    stacks.setdefault(r.index, []).append(value)
                    pushed.append(r.index)
                block.operations.append(operation)
            block.terminator = self._terminator(raw, [blocks[s] for s in self.graph[i]], current)
            for s in dict.fromkeys(self.graph[i]):
                which = self.preds[s].index(i)
                for register, phi in phis[s].items():
                    stack = stacks.get(register)
                    if stack:
                        phi.operands[which] = stack[-1]
            work.append((i, pushed))
            work += [(c, None) for c in reversed(children[i])]
        return blocks

    def _terminator(self, raw: RawBlock, targets: list[model.Block], current: Callable[[RawScalar], Scalar]) -> model.Terminator:
        if raw.kind == "jump":
            return model.Jump(targets[0])
        if raw.kind == "branch":
            assert raw.condition is not None
            return model.Branch(current(raw.condition), targets[0], targets[1], raw.is_uniform)
        if raw.kind == "switch":
            assert raw.condition is not None
            return model.Switch(current(raw.condition), targets)
        return model.Exit()


def _is_copy(op: RawOperation) -> bool:
    """Whether an operation gives its only operand's bits unchanged: mov, and moves between call parameters and registers."""
    if isinstance(op.op, builtin.Resize):
        return op.op.from_width == op.op.to_width
    source = op.operands[0]
    return op.op.opcode[0] == "mov" and type(source) in (Register, Constant) and source.width == op.results[0].width


def _registers(op: RawOperation) -> list[Register]:
    found = []
    for operand in op.operands:
        if type(operand) is Register:
            found.append(operand)
        elif type(operand) is tuple:
            found += [o for o in operand if type(o) is Register]
        elif type(operand) is RawAddress and type(operand.base) is Register:
            found.append(operand.base)
    if type(op.guard) is Register:
        found.append(op.guard)
    return found


def _map(operand: Any, current: Callable[[RawScalar], Scalar]) -> Any:
    """An operand over values, by the value that each register has."""
    if type(operand) is tuple:
        return tuple(current(o) for o in operand)
    if type(operand) is RawAddress:
        return Address(current(operand.base), operand.offset)
    return current(operand)


def _bits(mask: int) -> list[int]:
    result = []
    while mask:
        low = mask & -mask
        result.append(low.bit_length() - 1)
        mask ^= low
    return result
