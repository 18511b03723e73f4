"""The compiled routes that are there: the compiler's code in this process (jit.py), and our libcuda through ctypes.

`ANYWARP_LIBCUDA` names the library; otherwise it is looked for in the build folder and in the installed package.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.util
import mmap
import os
import signal
import sys
import traceback
from functools import lru_cache
from pathlib import Path

from anywarp.codegen import llvm as codegen
from anywarp.ptx import UnsupportedInstruction
from anywarp.reference import layout
from tests.kernels import jit
from tests.kernels.differential import Dim, Route

ROOT = Path(__file__).parents[2]
INVALID_PTX = 218  # CUDA_ERROR_INVALID_PTX
SECONDS = 20  # of CPU time for one launch; of time on the wall ten times as much: the machine may be busy


@lru_cache(maxsize=1)
def available() -> tuple[Route, ...]:
    """All routes that can be used on this machine."""
    found: list[Route] = [Jit()]
    library = find_library()
    if library is not None:
        try:
            driver = Driver(library)
            driver.probe()
            found.append(driver)
        except (RuntimeError, OSError) as error:
            missing["libcuda"] = f"{library} cannot run a kernel: {error}"
    else:
        missing["libcuda"] = "no libcuda.so.1: build it (cmake --build build) or set ANYWARP_LIBCUDA"
    return tuple(found)


missing: dict[str, str] = {}  # routes that are not there, and why; complete once `available` has been called


def find_library() -> Path | None:
    """Our libcuda.so.1."""
    named = os.environ.get("ANYWARP_LIBCUDA")
    if named:
        return Path(named)
    places = [*ROOT.glob("build/**/libcuda.so.1"), *ROOT.glob("src/anywarp/**/libcuda.so.1")]
    spec = importlib.util.find_spec("anywarp")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        places += Path(place).rglob("libcuda.so.1")
    return max(places, key=lambda p: p.stat().st_mtime, default=None)


class CompilerFailure(Exception):
    """The compiler raised something that is no error of the program."""


class Jit:
    """The compiler's code by LLVM's JIT with a scheduler in Python (jit.py). Compiling and running happen in a forked child that shares the
    buffers, so that a crash is a failed launch. What the compiler refuses is an exception of its own, not a failed launch."""

    name = "jit"
    has_services = False
    runs_ctas_together = False

    def __init__(self) -> None:
        self._buffers: dict[int, mmap.mmap] = {}
        codegen.target_machine()

    def allocate(self, data: bytes) -> int:
        memory = mmap.mmap(-1, max(1, len(data)))
        memory[: len(data)] = data
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._buffers[address] = memory
        return address

    def read(self, address: int, size: int) -> bytes:
        return self._buffers[address][:size]

    def release(self, address: int) -> None:
        del self._buffers[address]

    def launch(self, ptx: str, entry: str, grid: Dim, block: Dim, parameters: bytes, dynamic_shared: int) -> None:
        incoming, outgoing = os.pipe()
        child = os.fork()
        if child == 0:
            report = b""
            try:
                for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGILL, signal.SIGBUS, signal.SIGABRT, signal.SIGALRM, signal.SIGPROF):
                    signal.signal(number, signal.SIG_DFL)
                faulthandler.disable()
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                signal.alarm(10 * SECONDS)
                report = _compile_and_run(ptx, entry, grid, block, parameters, dynamic_shared)
            finally:
                os.write(outgoing, report)
                os._exit(0)
        os.close(outgoing)
        with os.fdopen(incoming, "rb") as pipe:
            kind, _, message = pipe.read().decode().partition("\n")
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            raise RuntimeError(f"died of {signal.Signals(os.WTERMSIG(status)).name}")
        if kind == "unsupported":
            raise UnsupportedInstruction(message)
        if kind == "compiler":
            raise CompilerFailure(message)
        if kind != "done":
            raise RuntimeError(message)


def _compile_and_run(ptx: str, entry: str, grid: Dim, block: Dim, parameters: bytes, dynamic_shared: int) -> bytes:
    try:
        program = jit.Program(ptx)
        program.compile(entry, jit.variant_of(block))
    except UnsupportedInstruction as error:
        return f"unsupported\n{error.message}".encode()
    except BaseException:
        return f"compiler\n{traceback.format_exc(limit=-6)}".encode()[:60000]
    try:
        offsets = layout.Offsets()
        arguments: list[tuple[str, object]] = []
        for parameter in program.module.functions[entry].params:
            at = offsets.place(parameter)
            arguments.append(("", parameters[at : offsets.bytes]))
        program.run(entry, grid, block, arguments, dynamic_shared)
    except BaseException as error:
        return f"launch\n{type(error).__name__}: {error}".encode()[:60000]
    return b"done\n"


class Driver:
    """The driver API, as a client calls it. A failed launch spoils the context, which is then made anew: memory is gone with it."""

    has_services = True
    runs_ctas_together = True

    def __init__(self, library: Path) -> None:
        self.name = "libcuda"
        self._cuda = ctypes.CDLL(str(library))
        self._allocated: set[int] = set()
        os.environ.setdefault("ANYWARP_PYTHON", sys.executable)
        os.environ.setdefault("ANYWARP_PYTHONPATH", str(ROOT / "src"))
        self._call("cuInit", 0)
        self._enter_context()

    def _enter_context(self) -> None:
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self._call("cuCtxSetCurrent", context)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status == INVALID_PTX:
            raise UnsupportedInstruction(f"{name}: libcuda does not compile this PTX; the jit route says why")
        if status:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorName(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'?').decode()} ({status})")

    def probe(self) -> None:
        """Runs an empty kernel. Raises RuntimeError."""
        self.launch(".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n{\nret;\n}\n", "k", (1, 1, 1), (1, 1, 1), b"", 0)

    def allocate(self, data: bytes) -> int:
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, len(data))))
        self._call("cuMemcpyHtoD_v2", address, data, ctypes.c_size_t(len(data)))
        self._allocated.add(address.value)
        return address.value

    def read(self, address: int, size: int) -> bytes:
        data = ctypes.create_string_buffer(size)
        self._call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(size))
        return data.raw

    def release(self, address: int) -> None:
        if address in self._allocated:
            self._allocated.remove(address)
            self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def launch(self, ptx: str, entry: str, grid: Dim, block: Dim, parameters: bytes, dynamic_shared: int) -> None:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ptx.encode() + b"\0")
        try:
            self._call("cuModuleGetFunction", ctypes.byref(function), module, entry.encode())
            size = ctypes.c_size_t(len(parameters))
            buffer = ctypes.create_string_buffer(parameters, max(1, len(parameters)))
            extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(buffer), 2, ctypes.addressof(size), 0)
            self._call("cuLaunchKernel", function, *grid, *block, dynamic_shared, None, None, extra)
            self._call("cuCtxSynchronize")
            self._call("cuModuleUnload", module)
        except RuntimeError:
            self._allocated.clear()
            self._call("cuDevicePrimaryCtxReset_v2", 0)
            self._enter_context()
            raise
