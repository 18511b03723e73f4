"""What a host program or library is linked with: for `anywarp doctor`, which says before it runs what will work.

Reads the section headers of an ELF file: the libraries that it needs, the functions that it asks for, and those of the CUDA runtime that it
defines itself. The native counterpart, at work when a program is loaded, is src/runtime/redirect.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from anywarp.image.errors import ImageError

MACHINES: Final = {62: "x86_64", 183: "aarch64", 3: "i386", 21: "ppc64le", 243: "riscv64"}
_HEADER: Final = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_SYMTAB, _DYNAMIC_SECTION, _DYNSYM = 2, 6, 11
_NEEDED, _SONAME, _FUNCTION = 1, 14, 2


@dataclass
class Linkage:
    machine: str
    is_dynamic: bool = False  # it has a dynamic section: the loader has a say
    has_symbols: bool = False  # it has a symbol table: it was not stripped
    has_device_code: bool = False  # a section .nv_fatbin
    is_relocatable: bool = False  # a section __nv_relfatbin: its device code is linked when it is loaded (nvcc -rdc=true)
    soname: str = ""
    needed: list[str] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)  # functions and variables of others
    exports: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)  # that it defines and keeps to itself


def read_linkage(data: bytes) -> Linkage:
    """The linkage of a 64-bit little-endian ELF file. Raises `ImageError`."""
    if len(data) < 64 or data[:4] != b"\x7fELF" or data[4] != 2 or data[5] != 1:
        raise ImageError("this is no 64-bit little-endian ELF file")
    _, machine, _, _, _, table, _, _, _, _, entry_size, count, names_index = _HEADER.unpack_from(data)
    result = Linkage(MACHINES.get(machine, f"machine {machine}"))
    if count == 0:
        return result
    if entry_size < _SECTION.size or table + count * entry_size > len(data):
        raise ImageError("ELF file is cut off: its section headers lie behind its end")
    sections = [_SECTION.unpack_from(data, table + i * entry_size) for i in range(count)]

    def content(section: tuple[int, ...]) -> bytes:
        return data[section[4] : section[4] + section[5]]

    def linked(section: tuple[int, ...]) -> bytes:
        return content(sections[section[6]]) if section[6] < count else b""

    names = content(sections[names_index]) if names_index < count else b""
    for section in sections:
        name = _text(names, section[0])
        result.has_device_code |= name == ".nv_fatbin"
        result.is_relocatable |= name == "__nv_relfatbin"
        if section[1] == _DYNAMIC_SECTION:
            result.is_dynamic = True
            _read_dynamic(result, content(section), linked(section))
        elif section[1] == _DYNSYM:
            for symbol, is_defined, _ in _symbols(content(section), linked(section)):
                (result.exports if is_defined else result.imports).add(symbol)
        elif section[1] == _SYMTAB:
            result.has_symbols = True
            symbols = _symbols(content(section), linked(section))
            result.functions |= {symbol for symbol, is_defined, is_function in symbols if is_defined and is_function}
    result.functions -= result.exports
    return result


def _text(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset)
    return strings[offset:end].decode(errors="replace") if 0 <= offset < len(strings) and end >= 0 else ""


def _symbols(content: bytes, strings: bytes) -> Iterator[tuple[str, bool, bool]]:
    """Name, whether it is defined here, whether it is a function."""
    whole = len(content) - len(content) % _SYMBOL.size
    for name, info, _, section, _, _ in _SYMBOL.iter_unpack(content[:whole]):
        if name:
            yield _text(strings, name), section != 0, info & 15 == _FUNCTION


def _read_dynamic(result: Linkage, content: bytes, strings: bytes) -> None:
    whole = len(content) - len(content) % _DYNAMIC.size
    for tag, value in _DYNAMIC.iter_unpack(content[:whole]):
        if tag == 0:
            return
        if tag == _NEEDED:
            result.needed.append(_text(strings, value))
        elif tag == _SONAME:
            result.soname = _text(strings, value)
