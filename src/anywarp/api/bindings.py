"""ctypes bindings made from the table: `Library("libcuda.so.1")` offers every symbol with its argument types.

    cuda = Library(path)
    dptr = cuda.types["CUdeviceptr"]()
    result = cuda.cuMemAlloc_v2(byref(dptr), 1024)      # an int; cuda.name_of(result) is "CUDA_SUCCESS"

`types` maps the table's names to ctypes: handles are `c_void_p`, enums `c_int` (their members are in `values`), structs and unions classes
with the table's layout. Used by the tests; programs have bindings of their own.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from anywarp.api import table
from anywarp.api.table import Aggregate, Alias, Api, Callback, Constant, Declaration, Enum, Handle, Signature

_BASE: dict[str, Any] = {
    "void": None,
    "char": ctypes.c_char,
    "signed char": ctypes.c_byte,
    "unsigned char": ctypes.c_ubyte,
    "short": ctypes.c_short,
    "unsigned short": ctypes.c_ushort,
    "int": ctypes.c_int,
    "unsigned": ctypes.c_uint,
    "unsigned int": ctypes.c_uint,
    "long": ctypes.c_long,
    "long long": ctypes.c_longlong,
    "unsigned long long": ctypes.c_ulonglong,
    "unsigned long": ctypes.c_ulong,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "int32_t": ctypes.c_int32,
}


class Types:
    """The ctypes of an API's table: `types["CUDA_MEMCPY3D"]`."""

    def __init__(self, api: Api) -> None:
        self._known: dict[str, Any] = dict(_BASE)
        self.values: dict[str, int] = {}  # of enum members and constants
        # A callback may take a struct that is defined later, which must have its members by then: each is defined when first needed.
        self._waiting = {t.name: t for t in api.types}
        while self._waiting:
            self._define(self._waiting.pop(next(iter(self._waiting))))

    def __getitem__(self, c_type: str) -> Any:
        """The ctype of a C type: `CUdevice`, `const char*`, `void**`. Pointers are `c_void_p`, but for C strings; arguments of them can be
        given as `byref(x)`, arrays, addresses or None.
        """
        bare = " ".join(c_type.replace("const ", "").split())
        if bare == "char*":
            return ctypes.c_char_p if "const" in c_type else ctypes.c_void_p
        if bare.endswith("*"):
            return ctypes.c_void_p
        if bare in self._waiting:
            self._define(self._waiting.pop(bare))
        return self._known[bare]

    def _define(self, t: table.Type) -> None:
        if isinstance(t, Handle):
            self._known[t.name] = ctypes.c_void_p
        elif isinstance(t, Alias):
            self._known[t.name] = self[t.target]
        elif isinstance(t, Constant):
            self.values[t.name] = t.value
        elif isinstance(t, Enum):
            self._known[t.name] = ctypes.c_int if t.signed else ctypes.c_uint
            self.values.update(t.members)
        elif isinstance(t, Callback):
            self._known[t.name] = self.function_type(t.signature) if t.pointer else ctypes.c_void_p
        else:
            self._known[t.name] = _new_class(t)
            self._set_members(self._known[t.name], t)

    def _set_members(self, cls: Any, a: Aggregate) -> None:
        members: list[tuple[str, Any]] = []
        anonymous: list[str] = []
        for i, m in enumerate(a.members):
            if isinstance(m, Declaration):
                members.append((m.name, _array(self[m.type], m.dimensions)))
                continue
            inner = _new_class(m)
            self._set_members(inner, m)
            name = m.name or f"_{i}"
            if not m.name:
                anonymous.append(name)
            members.append((name, _array(inner, m.dimensions)))
        cls._anonymous_ = anonymous
        cls._fields_ = members

    def function_type(self, signature: Signature) -> Any:
        """The type of pointers to functions of this signature; ctypes passes aggregates by value as C does."""
        return ctypes.CFUNCTYPE(self[signature.result], *(self._parameter(p) for p in signature.parameters))

    def _parameter(self, p: Declaration) -> Any:
        return ctypes.c_void_p if p.dimensions else self[p.type]


def _new_class(a: Aggregate) -> Any:
    return type(a.name or "inner", (ctypes.Union if a.union else ctypes.Structure,), {})


def _array(ctype: Any, dimensions: tuple[int, ...]) -> Any:
    for d in reversed(dimensions):
        ctype = ctype * d
    return ctype


class Library:
    """A loaded libcuda ("driver") or libcudart ("runtime" with its `major`). Attributes are the functions by symbol."""

    def __init__(self, path: str | Path, api: str = "driver", major: int | None = None) -> None:
        self.api = table.load(api)
        self.types = Types(self.api)
        self.values = self.types.values
        self.cdll = ctypes.CDLL(str(path))
        self.symbols: dict[str, Signature] = {}
        for f in self.api.exported(major):
            for symbol in (f.symbol, f.twin_symbol):
                if symbol:
                    self.symbols[symbol] = f.signature
        result = self.api.by_name["CUresult" if api == "driver" else "cudaError"]
        assert isinstance(result, Enum)
        self._names = {value: name for name, value in result.members.items()}

    def __getattr__(self, symbol: str) -> Any:
        if symbol.startswith("__") and symbol not in self.symbols:
            raise AttributeError(symbol)
        signature = self.symbols.get(symbol)
        if signature is None:
            if symbol in self.values:
                return self.values[symbol]
            raise AttributeError(symbol)
        function = getattr(self.cdll, symbol)
        function.argtypes = [self.types._parameter(p) for p in signature.parameters]
        function.restype = self.types[signature.result]
        setattr(self, symbol, function)
        return function

    def name_of(self, result: int) -> str:
        """The name of a result code."""
        return self._names.get(result, str(result))
