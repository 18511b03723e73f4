"""PTX text -> `tree.Module`: the module level of the grammar, and the entry point `parse`.

The whole text is parsed at once, so a syntax error anywhere fails the module. Names are not checked here but in
`verifier`; only what a `Module` cannot hold, two definitions of one name, is an error already. Debug sections
(`.section`) are skipped. Bodies are in `body`, declarations in `declarations`, operands in `operands`.
"""

from __future__ import annotations

import gc
import re
from typing import Literal, TypeAlias, cast

from anywarp.ptx import constants
from anywarp.ptx.body import BodyParser, pragmas
from anywarp.ptx.declarations import LINKAGES, SPACES, DeclarationParser, Linkage
from anywarp.ptx.lexer import Lexer
from anywarp.ptx.names import FUNCTION_DIRECTIVES
from anywarp.ptx.source import Source
from anywarp.ptx.tree import Function, Module, RegisterDeclaration, Statement, Variable

FunctionLinkage: TypeAlias = Literal["", "visible", "extern", "weak"]

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})")
# Until this version an entry's parameters are declared at the top of its body.
_PARAMETER_LISTS_SINCE = (1, 4)


def parse(text: str, name: str = "<ptx>") -> Module:
    """Parse one PTX module (ISA 1.0 to 9.x); `name` stands in error messages.

    Raises `PtxError` with line, column and what was expected. A trailing NUL and what follows it is ignored.
    """
    parser = _ModuleParser(Source(text, name))
    # Nothing here makes cycles, and the collector would walk the growing tree again and again (a fifth of the time).
    collecting = gc.isenabled()
    gc.disable()
    try:
        return parser.parse()
    finally:
        if collecting:
            gc.enable()


class _ModuleParser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.lexer = Lexer(source)
        self.declarations = DeclarationParser(self.lexer)
        self.body = BodyParser(self.lexer, self.declarations, self._file)
        self.registers: list[RegisterDeclaration] = []  # of the module, which PTX 1.x allows
        self.register_users: dict[str, str] = {}
        self.module = Module((0, 0), "", (), 32, {}, {}, {}, {})

    def parse(self) -> Module:
        lexer, module = self.lexer, self.module
        if lexer.text != ".version":
            raise lexer.error("'.version' at the beginning of the module")
        while lexer.kind != "end":
            word = lexer.text
            if word in LINKAGES or word in SPACES or word in (".entry", ".func"):
                self._linked()
            elif word == ".version":
                self._version()
            elif word == ".target":
                self._target()
            elif word == ".address_size":
                lexer.advance()
                start = lexer.start
                size = constants.integer_expression(lexer, "32 or 64")
                if size not in (32, 64):
                    lexer.fail(f"expected 32 or 64 as address size, found {size}", start)
                module.address_size = cast(Literal[32, 64], size)
            elif word == ".file":
                self._file()
            elif word == ".section":
                self._section()
            elif word == ".pragma":
                module.pragmas += tuple(pragmas(lexer))
            elif word == ".reg":
                line = self.source.place(lexer.start)[0]
                lexer.advance()
                self.registers.extend(self.declarations.registers(line))
            elif word == ".alias":
                self._alias()
            elif word == ";":
                lexer.advance()
            elif word == ".loc":
                lexer.advance()
                while lexer.kind == "integer":
                    lexer.advance()
            elif word == "}":
                lexer.fail("found '}' without a '{' before it")
            else:
                raise lexer.error("a function, a variable or a directive of the module")
        return module

    # --------------------------------------------------------------------------------------------------- directives

    def _version(self) -> None:
        lexer = self.lexer
        lexer.advance()
        matched = _VERSION.fullmatch(lexer.text)
        if matched is None:
            raise lexer.error("a version such as 8.0")
        self.module.version = (int(matched.group(1)), int(matched.group(2)))
        lexer.advance()

    def _target(self) -> None:
        lexer = self.lexer
        lexer.advance()
        names = [lexer.expect_name("a target such as sm_80")]
        while lexer.accept(","):
            names.append(lexer.expect_name("a target or an option"))
        for name in names:
            if name.startswith(("sm_", "compute_")):
                self.module.target = name
            elif name not in self.module.target_options:
                self.module.target_options += (name,)

    def _file(self) -> None:
        lexer = self.lexer
        lexer.expect(".file")
        index = constants.integer_expression(lexer, "a file's index")
        self.module.files[index] = lexer.expect_string("a file's path")
        while lexer.accept(","):
            constants.integer_expression(lexer, "a number")

    def _section(self) -> None:
        """Skip `.section .debug_info { ... }`."""
        lexer = self.lexer
        lexer.advance()
        if lexer.kind not in ("directive", "name"):
            raise lexer.error("a section's name")
        lexer.advance()
        while lexer.kind in ("directive", "name", "string") or lexer.text == ",":
            lexer.advance()
        if lexer.text != "{":
            raise lexer.error("'{' after the section's name")
        end = self.source.text.find("}", lexer.end)
        if end < 0:
            lexer.fail("expected '}' to end the section that begins here, found the end of the text")
        lexer.jump(end + 1)

    def _alias(self) -> None:
        lexer = self.lexer
        lexer.advance()
        start = lexer.start
        alias = lexer.expect_name("a function's name")
        lexer.expect(",", "after the alias")
        if alias in self.module.aliases:
            lexer.fail(f"'{alias}' is an alias already", start)
        self.module.aliases[alias] = lexer.expect_name("a function's name")
        lexer.expect(";", "after the alias")

    # -------------------------------------------------------------------------------------- functions and variables

    def _linked(self) -> None:
        """`.visible .entry ...`, `.extern .shared ...`."""
        lexer = self.lexer
        start = lexer.start
        line = self.source.place(start)[0]
        linkage = ""
        while lexer.text in LINKAGES:
            if linkage:
                raise lexer.error("a state space, '.entry' or '.func'")
            linkage = lexer.advance()[1:]
        if lexer.text in SPACES:
            for variable in self.declarations.variables(line, cast(Linkage, linkage)):
                self._add_variable(variable, start)
        elif lexer.text in (".entry", ".func"):
            if linkage == "common":
                lexer.fail("a function cannot be '.common'", start)
            self._function(cast(FunctionLinkage, linkage), line)
        else:
            raise lexer.error("a state space, '.entry' or '.func'")

    def _add_variable(self, variable: Variable, start: int) -> None:
        known = self.module.variables.get(variable.name)
        if known is None or known.linkage == "extern":
            self.module.variables[variable.name] = variable
        elif variable.linkage != "extern":
            raise self.source.error(f"'{variable.name}' is defined twice; the first definition is in line {known.line}", start)

    def _function(self, linkage: FunctionLinkage, line: int) -> None:
        lexer = self.lexer
        kind = cast(Literal["entry", "func"], lexer.advance()[1:])
        function = Function(kind, "", line, linkage)
        while lexer.kind == "directive":
            self._function_directive(function)
        self.declarations.open_scope()
        if kind == "func" and lexer.text == "(":
            function.returns = self.declarations.parameters()
        start = lexer.start
        function.name = lexer.expect_name("the function's name")
        if lexer.text == "(":
            function.params = self.declarations.parameters()
        while lexer.kind == "directive":
            self._function_directive(function)
        if lexer.text == "{":
            begin = lexer.end
            function.body = self.body.parse()
            if self.registers:
                self._take_registers(function, begin, lexer.previous_end)
            if kind == "entry" and self.module.version < _PARAMETER_LISTS_SINCE:
                _move_parameters(function)
        elif lexer.text == ";":
            lexer.advance()
        else:
            raise lexer.error("'{' or ';'")
        self.declarations.close_scope()
        self._add_function(function, start)

    def _take_registers(self, function: Function, begin: int, end: int) -> None:
        """Give the function the registers of the module that its text, from `begin` to `end`, names.

        The tree has no registers of a module. nvopencc declared some (`%ra<17>`) and left them alone; one that several
        functions share would need a place that outlives a call, so that is an error.
        """
        assert function.body is not None
        own = {s.name for s in function.body if isinstance(s, RegisterDeclaration)}
        for declaration in self.registers:
            name = declaration.name
            pattern = re.escape(name) + (r"\d+" if declaration.count is not None else "")
            used = re.compile(rf"(?<![\w$%]){pattern}(?![\w$])", re.ASCII).search(self.source.text, begin, end)
            if name in own or used is None:
                continue
            other = self.register_users.setdefault(name, function.name)
            if other != function.name:
                raise self.source.error(
                    f"the register '{name}' of the module is used by '{other}' and '{function.name}'; "
                    "registers that functions share are not supported",
                    used.start(),
                )
            function.body.insert(0, declaration)

    def _function_directive(self, function: Function) -> None:
        lexer = self.lexer
        word = lexer.text[1:]
        directives = function.directives
        if word == "pragma":
            directives["pragma"] = (*directives.get("pragma", ()), *pragmas(lexer))
            return
        if word == "attribute":
            attributes: dict[str, str] = {}
            self.declarations.attributes(attributes)
            for name, values in attributes.items():
                directives[name] = tuple(int(value) for value in values.split(",")) if values else ()
            return
        if word not in FUNCTION_DIRECTIVES:
            lexer.fail(f"expected a directive of the function, '{{' or ';', found '.{word}'")
        start = lexer.start
        lexer.advance()
        least, most = FUNCTION_DIRECTIVES[word]
        values_read: list[int] = []
        while len(values_read) < most:
            if values_read and not lexer.accept(","):
                break
            values_read.append(constants.integer_expression(lexer, "a number"))
        if len(values_read) < least:
            lexer.fail(f"'.{word}' needs {least} numbers", start)
        directives[word] = tuple(values_read)

    def _add_function(self, function: Function, start: int) -> None:
        known = self.module.functions.get(function.name)
        if known is None or known.body is None:
            if known is not None and not function.linkage and known.linkage != "extern":
                function.linkage = known.linkage
            self.module.functions[function.name] = function
        elif function.body is not None:
            raise self.source.error(f"'{function.name}' is defined twice; the first definition is in line {known.line}", start)


def _move_parameters(function: Function) -> None:
    """Before PTX 1.4 an entry declares its parameters in its body."""
    assert function.body is not None
    found = [s for s in function.body if isinstance(s, Variable) and s.space == "param"]
    if found:
        body: list[Statement] = [s for s in function.body if not (isinstance(s, Variable) and s.space == "param")]
        function.params += tuple(found)
        function.body = body
