"""Who may import whom (docs/architecture.md section 6). Read from the sources, so that imports inside functions count too."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent / "src"
LAYERS = ("image", "ptx", "isa", "ir", "analysis", "transform", "lower", "codegen", "pipeline", "compiler", "cli")

# Against the order, at run time: graphs without anything in them, and the text of single LLVM instructions.
BELOW_ALL = {"anywarp.analysis.cfg", "anywarp.lower.emit"}
# Inside the methods of declarations only: code and meanings that instructions share.
SHARED_CODE = {
    f"anywarp.lower.{name}" for name in ("atomics", "convert", "copies", "emit", "half", "matrix_product", "narrow", "warp", "warpgroup")
}
SHARED_MEANING = {"anywarp.reference.texture"}

CLIENTS = re.compile(r"\b(numba|triton|tinygrad|pycuda|cupy|jax|torch|pytorch)\b", re.IGNORECASE)


class Import(NamedTuple):
    """`module` imports `target` (a module, or the package where a name of it is meant); `is_late`: inside a function."""

    module: str
    line: int
    target: str
    is_late: bool

    @property
    def part(self) -> str:
        return part_of(self.module)

    @property
    def target_part(self) -> str:
        return part_of(self.target)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def part_of(module: str) -> str:
    """The folder (or file) right under `anywarp` that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    return sorted((ROOT / "anywarp").rglob("*.py"))


def is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imports_of(path: Path) -> Iterator[Import]:
    """A file's imports at run time: those under TYPE_CHECKING are not."""
    module = module_name(path)
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]

    def walk(node: ast.AST, is_late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                yield from (Import(module, child.lineno, alias.name, is_late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                above = package[: len(package) + 1 - child.level] if child.level else []
                source = ".".join([*above, *([child.module] if child.module else [])])
                for alias in child.names:
                    name = f"{source}.{alias.name}"
                    yield Import(module, child.lineno, name if is_module(name) else source, is_late)
            else:
                yield from walk(child, is_late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    return walk(ast.parse(path.read_text()), False)


def imports() -> list[Import]:
    return [i for path in sources() for i in imports_of(path)]


def own_imports() -> list[Import]:
    """Imports of one part of anywarp by another."""
    return [i for i in imports() if i.target.split(".")[0] == "anywarp" and i.part != i.target_part]


def test_data_flows_down_the_layers() -> None:
    def is_allowed(i: Import) -> bool:
        if i.part not in LAYERS or i.target_part not in LAYERS or LAYERS.index(i.target_part) < LAYERS.index(i.part):
            return True
        return i.target in BELOW_ALL or (i.part == "isa" and i.is_late and i.target in SHARED_CODE)

    assert [str(i) for i in own_imports() if not is_allowed(i)] == []


@pytest.mark.parametrize("module", sorted(BELOW_ALL))
def test_what_lies_below_all_imports_nothing_of_anywarp(module: str) -> None:
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    assert [str(i) for i in imports_of(path) if i.target.startswith("anywarp")] == []


def test_declarations_load_no_lowering_and_no_interpreter() -> None:
    def is_allowed(i: Import) -> bool:
        if i.target_part in ("abi", "ptx"):
            return True
        return i.is_late and i.target in SHARED_CODE | SHARED_MEANING

    assert [str(i) for i in own_imports() if i.part == "isa" and not is_allowed(i)] == []


def test_shared_code_knows_no_kernel() -> None:
    kernels = {f"anywarp.lower.{name}" for name in ("calls", "control", "dispatch", "function", "kernel", "recompute")}
    assert [str(i) for i in imports() if i.module in SHARED_CODE and i.target in kernels] == []


def test_the_interpreter_knows_neither_lowering_nor_ir() -> None:
    outside = ("lower", "ir", "analysis", "transform", "codegen", "compiler", "pipeline")
    assert [str(i) for i in imports() if i.part == "reference" and (i.target_part in outside or i.target.startswith("llvmlite"))] == []


def test_the_interpreter_loads_neither_lowering_nor_llvm() -> None:
    """What is imported in fact, with everything that comes along."""
    code = "import sys, anywarp.isa, anywarp.reference; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    loaded = result.stdout.split()
    assert "anywarp.reference" in loaded
    assert [m for m in loaded if m.startswith(("anywarp.lower", "anywarp.ir", "llvmlite", "numpy"))] == []


def test_only_code_generation_knows_llvmlite() -> None:
    assert {i.part for i in imports() if i.target.split(".")[0] == "llvmlite"} <= {"codegen", "cli"}


def test_nothing_imports_the_command_line() -> None:
    assert {i.module for i in own_imports() if i.target_part == "cli"} <= {"anywarp.__main__"}


def test_integrations_are_for_those_who_start_programs() -> None:
    assert {i.part for i in own_imports() if i.target_part == "integrations"} <= {"cli", "auto"}


def test_clients_are_named_under_integrations_only() -> None:
    paths = [*sources(), *(p for p in sorted((ROOT / "runtime").rglob("*")) if p.suffix in (".cpp", ".h"))]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        if "integrations" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if CLIENTS.search(line)
    ]
    assert found == []
