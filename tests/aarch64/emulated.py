"""Our libcuda for AArch64 under QEMU's user-mode emulation, as a route of tests/kernels: driver, loader and kernels are AArch64 code.

The compiler's child process is this interpreter on the real machine: the emulator hands `execve` of a foreign program to the kernel.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from anywarp.ptx import UnsupportedInstruction
from tests.kernels.differential import Dim
from tests.kernels.routes import INVALID_PTX, ROOT

COMPILER, EMULATOR, SYSROOT = "aarch64-linux-gnu-g++", "qemu-aarch64-static", "/usr/aarch64-linux-gnu"
TARGET = "aarch64-linux-gnu:neoverse-n1:+neon,+fp-armv8,+lse,+fullfp16,+dotprod"


def missing() -> str | None:
    """What is not installed, and the command that mends it."""
    if all(shutil.which(tool) for tool in ("cmake", COMPILER, EMULATOR)):
        return None
    return f"needs {COMPILER} and {EMULATOR}: apt-get install cmake g++-aarch64-linux-gnu qemu-user-static"


def build(folder: Path) -> Path:
    """Cross-compiles libcuda and the runner into `folder`; what is up to date is left alone. Returns the folder. Raises RuntimeError."""
    configure = ["cmake", "-S", ROOT, "-B", folder, f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/tests/aarch64/toolchain.cmake", "-DANYWARP_TESTS=ON"]
    for command in (
        [*configure, f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"],
        ["cmake", "--build", folder, "-j2", "--target", "anywarp_cuda", "aarch64_runner"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return folder


class Emulated:
    """A `Route`; the process is started anew when it has died."""

    name = "libcuda for AArch64"
    has_services = True
    runs_ctas_together = True

    def __init__(self, folder: Path) -> None:
        self._command = [EMULATOR, "-L", SYSROOT, str(folder / "tests/aarch64/aarch64_runner"), str(folder / "lib/libcuda.so.1")]
        self._cache = tempfile.TemporaryDirectory(prefix="anywarp-aarch64-cache-")
        self._environment = os.environ | {
            "ANYWARP_CACHE_DIR": self._cache.name,
            "ANYWARP_DUAL_MAPPING": "0",
            "ANYWARP_NUM_THREADS": "2",
            "ANYWARP_PYTHON": sys.executable,
            "ANYWARP_PYTHONPATH": str(ROOT / "src"),
            "ANYWARP_TARGET": TARGET,
        }
        self._allocated: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._cache.cleanup()

    def _request(self, letter: bytes, *parts: int | bytes, answers: int = 1, size: int = 0) -> tuple[list[int], bytes]:
        """Sends numbers as 8 bytes and byte strings with their size in front; reads `answers` numbers and, after success, `size` bytes."""
        if self._process is None or self._process.poll() is not None:
            self._allocated.clear()
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment)
        assert self._process.stdin and self._process.stdout
        message = letter + b"".join(struct.pack("<Q", p) if isinstance(p, int) else struct.pack("<Q", len(p)) + p for p in parts)
        self._process.stdin.write(message)
        self._process.stdin.flush()
        head = self._process.stdout.read(8 * answers)
        if len(head) < 8 * answers:
            raise RuntimeError(f"the runner died with {self._process.wait()}")
        numbers = list(struct.unpack(f"<{answers}Q", head))
        if numbers[0] == INVALID_PTX:
            raise UnsupportedInstruction("libcuda for AArch64 does not compile this PTX; the jit route says why")
        if numbers[0]:
            raise RuntimeError(f"CUresult {numbers[0]}")
        return numbers[1:], self._process.stdout.read(size)

    def allocate(self, data: bytes) -> int:
        (address,), _ = self._request(b"a", data, answers=2)
        self._allocated.add(address)
        return address

    def read(self, address: int, size: int) -> bytes:
        return self._request(b"r", address, size, size=size)[1]

    def release(self, address: int) -> None:
        if address in self._allocated:
            self._allocated.remove(address)
            self._request(b"f", address)

    def launch(self, ptx: str, entry: str, grid: Dim, block: Dim, parameters: bytes, dynamic_shared: int) -> None:
        try:
            self._request(b"l", ptx.encode(), entry.encode(), parameters, *grid, *block, dynamic_shared)
        except RuntimeError:
            self._allocated.clear()  # the device was reset
            raise
