"""The statements of a function's body.

Two ways through the same text. The fast one takes a whole instruction (or `.param` declaration, `.loc`, label) with one
regular expression and looks its opcode and operands up in dictionaries; it must agree with the careful one or decline.
The careful one, over `Lexer`, handles all else, and is asked again wherever the fast one declines, so that it finds
every error. A module of 350,000 instructions spends nearly all its time at the top of the loop in `BodyParser.parse`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from anywarp.ptx import constants
from anywarp.ptx.declarations import LINKAGES, SPACES, DeclarationParser
from anywarp.ptx.lexer import Lexer
from anywarp.ptx.names import REGISTER_TYPES, TYPE_BYTES
from anywarp.ptx.tree import (
    Block,
    BranchTargets,
    CallPrototype,
    CallTargets,
    Instruction,
    Label,
    Location,
    Operand,
    Pragma,
    Statement,
    Variable,
)

MAX_BLOCK_DEPTH = 200
MAX_EXPANDED_LABELS = 1 << 18

# The bound on the operands' length keeps text without any `;` from being scanned to its end again and again.
_INSTRUCTION = re.compile(r"\s*()(?:@(!?)([\w$%]+)\s+)?([a-z][\w.:]*)(?:\s([^;]{0,4000}))?;", re.ASCII)
_OPCODE = re.compile(r"[a-z][a-z0-9_]*(?:\.\w+(?:::\w+)*)*", re.ASCII)
_LABEL = re.compile(r"\s*()([A-Za-z_$%][\w$]*)\s*:(?!\s*\.)", re.ASCII)
_PARAM = re.compile(r"\s*()\.param\s+(?:\.align\s+(\d{1,5})\s+)?\.(\w+)\s+([A-Za-z_$][\w$]*)(?:\[\s*([1-9]\d{0,8})\s*\])?\s*;", re.ASCII)
_LOC = re.compile(
    r"\s*()\.loc\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})"
    r"(?:\s*,\s*function_name\s+([A-Za-z_$%][\w$]*)(?:\s*\+\s*(\d{1,9}))?\s*,\s*inlined_at\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,9}))?"
    r"(?=\s)",
    re.ASCII,
)
_NEXT = re.compile(r"\s*(.?)", re.DOTALL)


class _Opcodes(dict[str, "tuple[str, ...] | None"]):
    """Opcode with its modifiers -> its interned parts; None for what is no opcode."""

    def __missing__(self, mnemonic: str) -> tuple[str, ...] | None:
        parts = None
        if _OPCODE.fullmatch(mnemonic):
            parts = tuple(map(sys.intern, mnemonic.split(".")))
        self[mnemonic] = parts
        return parts


class BodyParser:
    """Parses bodies; one for a module. `on_file` is told of `.file` directives inside bodies."""

    def __init__(self, lexer: Lexer, declarations: DeclarationParser, on_file: Callable[[], None]) -> None:
        self.lexer = lexer
        self.declarations = declarations
        self._on_file = on_file
        self._opcodes = _Opcodes()
        self._guards: dict[str, str] = {}
        self._expanded = 0

    def parse(self) -> list[Statement]:
        """The statements up to `}`; the lexer stands at `{`, and behind `}` afterwards."""
        lexer, declarations = self.lexer, self.declarations
        text = lexer.source.text
        reader = declarations.operands
        opcodes, guards = self._opcodes, self._guards
        match_instruction = _INSTRUCTION.match
        count, rfind = text.count, text.rfind

        statements: list[Statement] = []
        append = statements.append
        open_blocks: list[tuple[Block, list[Statement]]] = []  # with the statements around each
        position = lexer.end
        counted = lexer.start  # lines are counted up to here
        line, line_start = lexer.source.place(counted)[0], rfind("\n", 0, counted) + 1
        declarations.open_scope()
        while True:
            match = match_instruction(text, position)
            if match is not None:
                _, negated, guard, mnemonic, operand_text = match.groups()
                opcode = opcodes[mnemonic]
                if opcode is not None:
                    operands: tuple[Operand, ...] | None = ()
                    if operand_text is not None:
                        operands = reader.read_list(operand_text, opcode)
                    if operands is not None:
                        start = match.start(1)
                        newlines = count("\n", counted, start)
                        if newlines:
                            line += newlines
                            line_start = rfind("\n", counted, start) + 1
                        counted = start
                        position = match.end()
                        if guard is not None:
                            guard = guards.setdefault(guard, guard)
                            append(Instruction(opcode, operands, line, guard, negated == "!", start - line_start + 1))
                        else:
                            append(Instruction(opcode, operands, line, None, False, start - line_start + 1))
                        continue
            following = _NEXT.match(text, position)
            assert following is not None  # the pattern matches the empty string
            character, start = following.group(1), following.start(1)
            newlines = count("\n", counted, start)
            if newlines:
                line += newlines
                line_start = rfind("\n", counted, start) + 1
            counted = start
            if character == "{":
                if len(open_blocks) >= MAX_BLOCK_DEPTH:
                    raise lexer.source.error("blocks are nested too deeply", start)
                block = Block([], line)
                append(block)
                open_blocks.append((block, statements))
                declarations.open_scope()
                statements = block.statements
                append = statements.append
                position = start + 1
            elif character == "}":
                position = start + 1
                declarations.close_scope()
                if not open_blocks:
                    lexer.jump(position)
                    return statements
                statements = open_blocks.pop()[1]
                append = statements.append
            else:
                end = self._fast(character, position, line, statements)
                if end is None:
                    lexer.jump(position)
                    self._careful(line, start - line_start + 1, statements)
                    end = lexer.previous_end
                position = end

    def _fast(self, character: str, position: int, line: int, statements: list[Statement]) -> int | None:
        """Take a frequent kind of declaration or a label; return the offset behind it, or None."""
        text = self.lexer.source.text
        if character != ".":
            label = _LABEL.match(text, position)
            if label is None:
                return None
            statements.append(Label(label.group(2), line))
            return label.end()
        param = _PARAM.match(text, position)
        if param is not None:
            _, alignment, type_name, name, size = param.groups()
            bytes_aligned = int(alignment) if alignment else None
            if type_name not in TYPE_BYTES or (bytes_aligned is not None and bytes_aligned.bit_count() != 1):
                return None
            dimensions = (int(size),) if size else ()
            variable = Variable("param", type_name, name, line, dimensions, alignment=bytes_aligned)
            self.declarations.declare(variable)
            statements.append(variable)
            return param.end()
        loc = _LOC.match(text, position)
        if loc is not None:
            _, file, source_line, column, function, offset, *inlined = loc.groups()
            location = Location(int(file), int(source_line), int(column), line)
            if function is not None:
                location.function_name = f"{function}+{offset}" if offset else function
                location.inlined_at = (int(inlined[0]), int(inlined[1]), int(inlined[2]))
            statements.append(location)
            return loc.end()
        return None

    # -------------------------------------------------------------------------------------------------- careful path

    def _careful(self, line: int, column: int, statements: list[Statement]) -> None:
        """One statement, from the lexer's place on."""
        lexer, text = self.lexer, self.lexer.text
        if lexer.kind == "directive":
            self._directive(line, statements)
        elif text == "@":
            lexer.advance()
            negated = lexer.accept("!")
            guard = lexer.expect_name("a predicate register after '@'")
            self._instruction(line, column, guard, negated, statements)
        elif lexer.kind == "name":
            name, end = text, lexer.end
            lexer.advance()
            if lexer.accept(":"):
                if not self._named_directive(name, line, statements):
                    statements.append(Label(name, line))
                return
            lexer.jump(end - len(name))
            self._instruction(line, column, None, False, statements)
        elif text == ";":
            lexer.advance()
        else:
            raise lexer.error("an instruction, a label, a directive or '}'")

    def _instruction(self, line: int, column: int, guard: str | None, negated: bool, statements: list[Statement]) -> None:
        lexer = self.lexer
        matched = _OPCODE.match(lexer.source.text, lexer.start)
        if lexer.kind != "name" or matched is None:
            raise lexer.error("an instruction")
        opcode = self._opcodes[matched.group()]
        assert opcode is not None  # the same pattern has matched
        lexer.jump(matched.end())
        if lexer.start == matched.end() and lexer.kind in ("name", "directive"):
            lexer.fail(f"expected white space after the opcode '{matched.group()}', found {lexer.found}")
        operands = self.declarations.operands.operand_list(lexer, opcode)
        if lexer.text != ";":
            raise lexer.error("',' or ';' after the operand" if operands else "an operand or ';'")
        lexer.advance()
        statements.append(Instruction(opcode, operands, line, guard, negated, column))

    def _directive(self, line: int, statements: list[Statement]) -> None:
        lexer = self.lexer
        word = lexer.text
        if word == ".reg":
            lexer.advance()
            statements.extend(self.declarations.registers(line))
        elif word in SPACES:
            statements.extend(self.declarations.variables(line))
        elif word in LINKAGES:
            lexer.advance()
            statements.extend(self.declarations.variables(line, word[1:]))  # type: ignore[arg-type]  # one of LINKAGES
        elif word == ".loc":
            statements.append(self._location(line))
        elif word == ".pragma":
            statements.extend(Pragma(text, line) for text in pragmas(lexer))
        elif word == ".file":
            self._on_file()
        elif word in (".branchtargets", ".calltargets", ".callprototype"):
            raise lexer.error(f"a label in front of '{word}'")
        elif word[1:] in REGISTER_TYPES:
            raise lexer.error("a state space such as '.reg' in front of the type")
        else:
            lexer.fail(f"expected a statement, found the directive '{word}', which has no place in a body")

    def _location(self, line: int) -> Location:
        lexer = self.lexer
        lexer.expect(".loc")
        file, source_line, column = (self._number(what) for what in ("a file's index", "a line", "a column"))
        location = Location(file, source_line, column, line)
        while lexer.accept(","):
            if lexer.accept("function_name"):
                location.function_name = lexer.expect_name("the label of a function's name")
                while lexer.accept("+"):
                    location.function_name += f"+{self._number('an offset')}"
            elif lexer.accept("inlined_at"):
                file, source_line, column = (self._number(what) for what in ("a file's index", "a line", "a column"))
                location.inlined_at = (file, source_line, column)
            else:
                raise lexer.error("'function_name' or 'inlined_at'")
        return location

    def _number(self, what: str) -> int:
        lexer = self.lexer
        if lexer.kind != "integer":
            raise lexer.error(what)
        constant = constants.literal(lexer)
        return int(constants.value_of(constant))

    def _named_directive(self, name: str, line: int, statements: list[Statement]) -> bool:
        """What a label may stand before: `.branchtargets`, `.calltargets`, `.callprototype`."""
        lexer = self.lexer
        if lexer.accept(".branchtargets"):
            statements.append(BranchTargets(name, tuple(self._names("a label")), line))
        elif lexer.accept(".calltargets"):
            statements.append(CallTargets(name, tuple(self._names("a function")), line))
        elif lexer.accept(".callprototype"):
            statements.append(self._prototype(name, line))
        else:
            return False
        return True

    def _names(self, what: str) -> list[str]:
        lexer = self.lexer
        names: list[str] = []
        while True:
            name = lexer.expect_name(what)
            if lexer.accept("<"):
                start = lexer.start
                count = constants.integer_expression(lexer, "the number of labels", constants.ADDITIVE)
                lexer.expect(">", "after the number of labels")
                if not 0 <= count <= MAX_EXPANDED_LABELS - self._expanded:
                    lexer.fail(f"expected at most {MAX_EXPANDED_LABELS} labels of this form in a module", start)
                self._expanded += count
                names.extend(f"{name}{i}" for i in range(count))
            else:
                names.append(name)
            if not lexer.accept(","):
                break
        lexer.expect(";", "after the names")
        return names

    def _prototype(self, name: str, line: int) -> CallPrototype:
        lexer = self.lexer
        returns: tuple[Variable, ...] = ()
        if lexer.text == "(":
            returns = self.declarations.parameters(allow_unnamed=True)
        if lexer.kind != "name":
            raise lexer.error("'_'")
        lexer.advance()
        params: tuple[Variable, ...] = ()
        if lexer.text == "(":
            params = self.declarations.parameters(allow_unnamed=True)
        noreturn = False
        while lexer.kind == "directive":
            if lexer.text == ".noreturn":
                noreturn = True
            elif lexer.text not in (".abi_preserve", ".abi_preserve_control"):
                raise lexer.error("';' after the prototype")
            elif lexer.advance():
                self._number("a number")
                continue
            lexer.advance()
        lexer.expect(";", "after the prototype")
        return CallPrototype(name, returns, params, line, noreturn)


def pragmas(lexer: Lexer) -> list[str]:
    """The strings of `.pragma "a", "b";`, the lexer at `.pragma`."""
    lexer.expect(".pragma")
    strings = [lexer.expect_string("a string")]
    while lexer.accept(","):
        strings.append(lexer.expect_string("a string"))
    lexer.expect(";", "after the pragma")
    return strings
