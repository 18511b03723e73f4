"""The API table is sound, and what is generated from it is complete."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from anywarp.api import coverage, cpp, generate, profiles, table
from anywarp.api.bindings import Types
from anywarp.api.implemented import declared, implementation, plain_name, symbols_of
from anywarp.api.table import Aggregate, Enum

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "runtime"


@pytest.fixture(scope="module")
def driver_api() -> table.Api:
    return table.load("driver")


@pytest.fixture(scope="module")
def runtime_api() -> table.Api:
    return table.load("runtime")


def symbols(functions: list[table.Function]) -> list[str]:
    return [s for f in functions for s in (f.symbol, f.twin_symbol) if s]


def test_counts(driver_api: table.Api, runtime_api: table.Api) -> None:
    # CUDA 11.8 to 13.5 together: header facts.
    assert len(symbols(driver_api.exported())) == 723
    assert {m: len(symbols(runtime_api.exported(m))) for m in table.LIBCUDART_MAJORS} == {11: 393, 12: 435, 13: 454}


def test_no_symbol_stands_twice(driver_api: table.Api, runtime_api: table.Api) -> None:
    assert max(Counter(symbols(driver_api.exported())).values()) == 1
    for major in table.LIBCUDART_MAJORS:
        assert max(Counter(symbols(runtime_api.exported(major))).values()) == 1


def test_versions_of_a_function_rise_with_cuda(driver_api: table.Api) -> None:
    for forms in driver_api.by_base.values():
        assert [f.version for f in forms] == sorted((f.version for f in forms), reverse=True)
        assert [f.since for f in forms] == sorted((f.since for f in forms), reverse=True)
        assert len({f.since for f in forms}) == len(forms)


@pytest.mark.parametrize("api", ["driver", "runtime"])
def test_ctypes_layouts_have_the_recorded_sizes(api: str) -> None:
    loaded = table.load(api)
    types = Types(loaded)
    sizes = {t.name: (ctypes.sizeof(types[t.name]), t.size) for t in loaded.types if isinstance(t, Aggregate) and t.size}
    # ctypes cannot express an alignment beyond that of the members: CUtensorMap's size is right all the same.
    assert len(sizes) > 70
    assert {n: s for n, s in sizes.items() if s[0] != s[1]} == {}


def test_header_compiles_and_asserts_layouts(tmp_path: Path, driver_api: table.Api, runtime_api: table.Api) -> None:
    (tmp_path / "cuda_abi.h").write_text(cpp.header(driver_api))
    (tmp_path / "cudart_abi.h").write_text(cpp.header(runtime_api))
    (tmp_path / "t.cpp").write_text('#include "cudart_abi.h"\n')
    done = subprocess.run(["c++", "-std=c++20", "-Wall", "-fsyntax-only", "t.cpp"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line",
    ["memory", "2000 cuX(int a", "2000 shiny cuX(int a)", "2000 cuX(int)", "x cuX(int a)", "2000 cuX(int a) = "],
)
def test_broken_function_lines_name_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "chapter.txt").write_text(f"# Chapter\n\n2000 cuGood(int a)\n{line}\n")
    (tmp_path / "driver_types.txt").write_text("alias CUresult = int\n")
    monkeypatch.setattr(table, "TABLES", tmp_path)
    with pytest.raises(table.TableError, match=r"chapter\.txt:4: "):
        table.load("driver")


def test_a_symbol_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "a.txt").write_text("# A\n2000 cuX(int a)\n3000 cuX(int a)\n")
    (tmp_path / "driver_types.txt").write_text("alias CUresult = int\n")
    monkeypatch.setattr(table, "TABLES", tmp_path)
    with pytest.raises(table.TableError, match="cuX stands in the tables twice"):
        table.load("driver")


def test_implementations_are_found_by_name(driver_api: table.Api) -> None:
    def found(symbol: str, *names: str) -> str:
        function = next(f for f in driver_api.functions if f.symbol == symbol)
        return implementation(driver_api, function, frozenset(names))

    assert found("cuMemAlloc_v2", "memAlloc") == "memAlloc"
    assert found("cuMemAlloc", "memAlloc") == ""  # its addresses have 32 bits
    assert found("cuCtxDestroy", "ctxDestroy") == "ctxDestroy"  # the same parameters as the newest
    assert found("cuCtxCreate", "ctxCreate_v2") == "ctxCreate_v2"
    assert found("cuCtxCreate_v4", "ctxCreate_v2") == ""
    assert found("cuStreamBeginCapture", "streamBeginCapture_v2") == ""
    assert found("cuStreamBeginCapture", "streamBeginCapture_v1") == "streamBeginCapture_v1"
    assert found("cuInit") == ""


def test_every_implementation_belongs_to_a_function(driver_api: table.Api) -> None:
    """A misspelt implementation would leave its function unimplemented without a word."""
    used = {implementation(driver_api, f, declared(SOURCES / "driver")) for f in driver_api.functions}
    bases = {plain_name(f.base) for f in driver_api.functions}
    camel = {n for n in declared(SOURCES / "driver") if re.search("[a-z][A-Z]", n)}
    assert camel, "no implementations found"
    assert {n for n in camel if n not in used and re.sub(r"_v\d+$", "", n) not in bases} == set()
    assert camel - used == set()


def _leaves(ctype: Any, at: int = 0) -> list[tuple[int, int]]:
    """Offsets and sizes of the scalars in a type: what two layouts of the same bytes agree in."""
    if issubclass(ctype, ctypes.Array):
        step = ctypes.sizeof(ctype._type_)
        return [leaf for i in range(ctype._length_) for leaf in _leaves(ctype._type_, at + i * step)]
    if issubclass(ctype, (ctypes.Structure, ctypes.Union)):
        found = [leaf for name, inner in ctype._fields_ for leaf in _leaves(inner, at + getattr(ctype, name).offset)]
        return sorted(set(found))
    return [(at, ctypes.sizeof(ctype))]


def test_forwards_pass_on_what_both_apis_lay_out_alike(driver_api: table.Api, runtime_api: table.Api) -> None:
    """`= cuNAME` hands pointers to structs and enums over as they are: same size, same values."""
    driver = {f.symbol: f for f in driver_api.functions}
    drivers, runtimes = Types(driver_api), Types(runtime_api)
    checked = 0
    for f in runtime_api.functions:
        if not f.forward:
            continue
        assert f.forward in driver, f"{f.symbol} = {f.forward}: the driver has no such function"
        target = driver[f.forward]
        assert len(f.signature.parameters) == len(target.signature.parameters), f.symbol
        assert not f.twin or any(p.type == "cudaStream_t" for p in f.signature.parameters) or f.twin == target.twin, f.symbol
        for mine, theirs in zip(f.signature.parameters, target.signature.parameters):
            a, b = (p.type.replace("const ", "").replace("*", "").strip() for p in (mine, theirs))
            where = f"{f.symbol}: {mine.c()} is {theirs.c()} in {f.forward}"
            here, there = (api.by_name.get(api.resolve(t)) for api, t in ((runtime_api, a), (driver_api, b)))
            if isinstance(here, Enum) and isinstance(there, Enum):
                assert set(here.members.values()) <= set(there.members.values()) | {0x7FFFFFFF}, where
            if isinstance(here, Aggregate) or isinstance(there, Aggregate):
                if "void" in (a, b):
                    continue
                assert _leaves(runtimes[a])[-1] == _leaves(drivers[b])[-1], where
                assert ctypes.sizeof(runtimes[a]) == ctypes.sizeof(drivers[b]), where
                checked += 1
    assert checked > 10


def test_reasons_stand_at_functions_that_nothing_implements(driver_api: table.Api, runtime_api: table.Api) -> None:
    done: frozenset[str] = frozenset()
    for api, folder in ((driver_api, "driver"), (runtime_api, "cudart")):
        done = symbols_of(api, SOURCES / folder, done)
        names = declared(SOURCES / folder)
        assert [f.symbol for f in api.functions if f.unsupported and (f.forward or f.symbol in done)] == []
        assert [f.symbol for f in api.functions if f.forward and implementation(api, f, names)] == []


def test_generated_files_are_written_once(tmp_path: Path) -> None:
    path = tmp_path / "x" / "file"
    assert generate.write(path, "a")
    assert not generate.write(path, "a")
    assert generate.write(path, "b")


def test_chapters_are_split_evenly(driver_api: table.Api) -> None:
    groups = generate.split(driver_api.exported(), 4)
    assert sorted(c for g in groups for c in g) == sorted({f.chapter for f in driver_api.functions})


def test_profiles_name_known_attributes(driver_api: table.Api) -> None:
    assert "generic-sm80" in profiles.cpp(driver_api)


def test_profile_errors_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('name = "x"\ncompute_capability "8.0"\n')
    with pytest.raises(ValueError, match=r"p\.toml:2: "):
        profiles.read(path)


def test_coverage_page_is_current() -> None:
    page = (ROOT / "docs" / "api-coverage.md").read_text(encoding="utf-8")
    assert page == coverage.page(SOURCES), "run: python -m anywarp.api.generate --docs docs/api-coverage.md"


def test_walkthrough_quotes_what_is_there() -> None:
    page = (ROOT / "docs" / "add-an-api-function.md").read_text(encoding="utf-8")
    path, number, line = re.search(r"^    (src/\S+?):(\d+):(.*)$", page, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert (ROOT / path).read_text(encoding="utf-8").splitlines()[int(number) - 1] == line
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, re.MULTILINE)
    code = [re.sub("^    ", "", b, flags=re.MULTILINE).strip() for b in blocks]
    files = ["src/runtime/driver/context.h", "src/runtime/driver/context.cpp", "tests/api/test_context.py"]
    sources = [(ROOT / f).read_text(encoding="utf-8") for f in files]
    quoted = [c for c in code if "CUresult ctx" in c or c.startswith("def test")]
    assert len(quoted) == 3
    for c in quoted:
        assert any(c in s for s in sources), c
