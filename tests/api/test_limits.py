"""Many threads, modules, streams and launches; processes that end in odd ways; fork, exec and signals. Kernels that never end are in
test_endless_kernels.py. Scaled for a small machine; `pytest -m full` runs ten times as much (10,000 modules).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCALES = [1, pytest.param(10, marks=pytest.mark.full)]


_BEGIN = """
import gc, os, random, threading, time
context = c_void_p()
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0))
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def ptx(name, body=""):
    head = ".version 8.0\\n.target sm_80\\n.address_size 64\\n"
    return (head + f".visible .entry {name}(.param .u64 a) {{ .reg .b64 %d<2>; .reg .b32 %r; .reg .pred %p; {body} ret; }}").encode()
INCREMENT = "ld.param.u64 %d0, [a]; mov.u32 %r, 1; red.global.add.u32 [%d0], %r;"
SPIN = "ld.param.u64 %d0, [a]; AGAIN: ld.volatile.global.u32 %r, [%d0]; setp.eq.u32 %p, %r, 0; @%p bra AGAIN;"
def load(text):
    module = c_void_p(); check(cuda.cuModuleLoadData(byref(module), text)); return module
def entry(module, name):
    function = c_void_p(); check(cuda.cuModuleGetFunction(byref(function), module, name)); return function
def launch(function, address, stream=None):
    value = c_ulonglong(address); arguments = (c_void_p * 1)(addressof(value))
    return cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, arguments, None)
def alloc(size):
    address = c_ulonglong(); check(cuda.cuMemAlloc_v2(byref(address), size)); check(cuda.cuMemsetD8_v2(address, 0, size))
    return address.value
def word(address):
    value = c_uint(); check(cuda.cuMemcpyDtoH_v2(byref(value), address, 4)); return value.value
"""


@pytest.mark.parametrize("scale", SCALES)
def test_allocations_from_64_threads(program: Callable[..., str], scale: int) -> None:
    program(
        _BEGIN
        + f"""
errors = []
def work(seed):
    choose, held = random.Random(seed), []
    if cuda.cuCtxSetCurrent(context): return errors.append("context")
    stream = c_void_p(); check(cuda.cuStreamCreate(byref(stream), 1))
    try:
        for i in range({60 * scale}):
            address, size, ordered = c_ulonglong(), choose.choice([1, 200, 5000, 70000, 3 << 20]), choose.random() < 0.5
            check(cuda.cuMemAllocAsync(byref(address), size, stream) if ordered else cuda.cuMemAlloc_v2(byref(address), size))
            check(cuda.cuMemsetD8Async(address, seed, size, stream))
            held.append((address.value, size))
            if len(held) > 4:
                where, size = held.pop(choose.randrange(len(held)))
                check(cuda.cuStreamSynchronize(stream))
                byte = c_ubyte(); check(cuda.cuMemcpyDtoH_v2(byref(byte), where + size - 1, 1))
                assert byte.value == seed, (byte.value, seed)
                check(cuda.cuMemFreeAsync(where, stream) if choose.random() < 0.5 else cuda.cuMemFree_v2(where))
        for where, _ in held: check(cuda.cuMemFreeAsync(where, stream))
        check(cuda.cuStreamSynchronize(stream))
    except BaseException as error:
        errors.append(repr(error))
threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not errors, errors[:3]
used, pool, free, total = c_ulonglong(), c_void_p(), c_size_t(), c_size_t()
check(cuda.cuCtxSynchronize()); check(cuda.cuDeviceGetDefaultMemPool(byref(pool), 0))
check(cuda.cuMemPoolGetAttribute(pool, cuda.CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, byref(used)))
check(cuda.cuMemGetInfo_v2(byref(free), byref(total)))
assert used.value == 0 and free.value == total.value, (used.value, total.value - free.value)
"""
    )


@pytest.mark.parametrize("scale", SCALES)
def test_modules_come_and_go_without_growth(program: Callable[..., str], scale: int) -> None:
    program(
        _BEGIN
        + f"""
text, address = ptx("k", INCREMENT), alloc(4)
def rounds(n):
    for _ in range(n):
        module = load(text); check(launch(entry(module, b"k"), address)); check(cuda.cuModuleUnload(module))
rounds(100)
before = resident()
rounds({1000 * scale})
assert resident() - before < 4 << 20, resident() - before
assert word(address) == {1000 * scale + 100}
"""
    )


def test_a_thousand_streams(program: Callable[..., str]) -> None:
    program(
        _BEGIN
        + """
function, counter, streams = entry(load(ptx("k", INCREMENT)), b"k"), alloc(4), []
for i in range(1000):
    stream = c_void_p(); check(cuda.cuStreamCreateWithPriority(byref(stream), 1, -(i % 6))); streams.append(stream)
for _ in range(5):
    for stream in streams: check(launch(function, counter, stream))
for stream in streams[::2]: check(cuda.cuStreamDestroy_v2(stream))      # with work in them
check(cuda.cuCtxSynchronize())
assert word(counter) == 5000
for stream in streams[1::2]: check(cuda.cuStreamDestroy_v2(stream))
"""
    )


def test_many_kernels_in_flight(program: Callable[..., str]) -> None:
    count = 100_000
    program(
        _BEGIN
        + f"""
function, counter, gate, stream = entry(load(ptx("k", INCREMENT)), b"k"), alloc(4), alloc(4), c_void_p()
check(cuda.cuStreamCreate(byref(stream), 1))
check(cuda.cuStreamWaitValue32_v2(stream, gate, 1, 1))               # nothing runs until all are there
value = c_ulonglong(counter); arguments = (c_void_p * 1)(addressof(value))
call = cuda.cuLaunchKernel
for _ in range({count}): call(function, 1, 1, 1, 1, 1, 1, 0, stream, arguments, None)
assert word(counter) == 0
check(cuda.cuMemsetD32_v2(gate, 1, 1)); check(cuda.cuStreamSynchronize(stream))
assert word(counter) == {count}, word(counter)
"""
    )


def test_out_of_memory_of_the_device_and_of_the_machine(program: Callable[..., str]) -> None:
    """An allocation beyond the device's size fails and changes nothing; one that the machine has no addresses for likewise."""
    program(
        _BEGIN
        + """
import resource
free, total, address = c_size_t(), c_size_t(), c_ulonglong()
check(cuda.cuMemGetInfo_v2(byref(free), byref(total)))
assert error(cuda.cuMemAlloc_v2(byref(address), total.value + 1)) == "CUDA_ERROR_OUT_OF_MEMORY"
assert error(cuda.cuMemAlloc_v2(byref(address), 1 << 62)) == "CUDA_ERROR_OUT_OF_MEMORY"
held = [alloc(1 << 20) for _ in range(20)]
function, counter = entry(load(ptx("k", INCREMENT)), b"k"), held[0]
check(launch(function, counter)); check(cuda.cuCtxSynchronize())
check(cuda.cuMemAlloc_v2(byref(address), free.value // 2))                 # addresses; memory comes with use
assert error(cuda.cuMemAlloc_v2(byref(address), free.value // 2 + (64 << 20))) == "CUDA_ERROR_OUT_OF_MEMORY"
resource.setrlimit(resource.RLIMIT_AS, (int(open("/proc/self/statm").read().split()[0]) * 4096 + (64 << 20),) * 2)
host = c_void_p()
assert error(cuda.cuMemAllocHost_v2(byref(host), 1 << 33)) in ("CUDA_ERROR_OUT_OF_MEMORY", "CUDA_SUCCESS")
check(launch(function, counter)); assert word(counter) == 2               # and the driver still works
"""
    )


def test_a_forked_process_is_told_and_its_parent_goes_on(program: Callable[..., str]) -> None:
    program(
        _BEGIN
        + """
function, counter = entry(load(ptx("k", INCREMENT)), b"k"), alloc(4)
check(launch(function, counter)); check(cuda.cuCtxSynchronize())
for _ in range(20):
    child = os.fork()
    if child == 0:
        address = c_ulonglong()
        os._exit(0 if cuda.cuMemAlloc_v2(byref(address), 4) == 3 and launch(function, counter) == 3 else 1)   # not initialized
    check(launch(function, counter))
    assert os.waitpid(child, 0)[1] == 0
assert word(counter) == 21
""",
        merge_stderr=True,
    )


def test_exec_with_work_in_flight(program: Callable[..., str]) -> None:
    """The new program finds neither threads nor descriptors of the old one."""
    out = program(
        _BEGIN
        + """
function, address = entry(load(ptx("k", SPIN)), b"k"), alloc(4)
check(launch(function, address)); time.sleep(0.05)
os.execv("/bin/sh", ["sh", "-c", "ls -l /proc/$$/fd; ls /proc/$$/task | wc -l"])
"""
    )
    assert "anywarp" not in out and out.splitlines()[-1] == "1", out


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_signals_reach_the_program_while_it_waits(program: Callable[..., str], signal: str) -> None:
    """A handler of the program's runs, also while its thread executes a kernel in cuCtxSynchronize; calls are not interrupted."""
    program(
        _BEGIN
        + f"""
import signal
seen = []
signal.signal(signal.{signal}, lambda number, frame: seen.append(number))
function, address = entry(load(ptx("k", SPIN)), b"k"), alloc(4)
check(launch(function, address))
def later():
    time.sleep(0.1); os.kill(os.getpid(), signal.{signal}); time.sleep(0.1)
    cast(address, POINTER(c_uint))[0] = 1
thread = threading.Thread(target=later); thread.start()
check(cuda.cuCtxSynchronize()); thread.join()
assert seen == [signal.{signal}], seen
"""
    )


def test_a_debugger_attaches_and_leaves(program: Callable[..., str]) -> None:
    """It stops all threads, some of them inside a kernel, looks at them and goes; the kernel's result is right."""
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("needs gdb (apt install gdb)")
    out = program(
        _BEGIN
        + f"""
import subprocess, ctypes
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY
word_at, done_at = alloc(4), alloc(4)
stream = c_void_p(); check(cuda.cuStreamCreate(byref(stream), 1))
check(launch(entry(load(ptx("spin", SPIN)), b"spin"), word_at, stream))
check(launch(entry(load(ptx("count", INCREMENT)), b"count"), done_at, stream))
time.sleep(0.05)
command = [{gdb!r}, "--batch", "-nx", "-p", str(os.getpid()), "-ex", "info threads"]
seen = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
print("not allowed" if "not permitted" in seen.stderr.lower() else seen.stdout.count("anywarp-"))
one = (c_uint * 1)(1); side = c_void_p(); check(cuda.cuStreamCreate(byref(side), 1))
check(cuda.cuMemcpyHtoDAsync_v2(c_ulonglong(word_at), one, 4, side)); check(cuda.cuStreamSynchronize(stream))
assert word(done_at) == 1
"""
    )
    if "not allowed" in out:
        pytest.skip("this machine allows no debugger to attach")
    assert int(out) > 0, "the pool's threads have names"


def test_ctrl_c_ends_a_program_without_a_handler(program: Callable[..., str]) -> None:
    program(
        _BEGIN
        + """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
check(launch(entry(load(ptx("k", SPIN)), b"k"), alloc(4)))
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
cuda.cuCtxSynchronize()
""",
        returncode=-2,
    )


def test_a_fault_of_the_program_itself_stays_its_own(program: Callable[..., str]) -> None:
    out = program(
        _BEGIN
        + """
import faulthandler
faulthandler.enable()
function, counter = entry(load(ptx("k", INCREMENT)), b"k"), alloc(4)
check(launch(function, counter)); check(cuda.cuCtxSynchronize())
string_at(16)
""",
        returncode=-11,
        merge_stderr=True,
    )
    assert "Segmentation fault" in out


def test_exit_with_work_of_threads_in_flight(program: Callable[..., str]) -> None:
    program(
        _BEGIN
        + """
function, counter = entry(load(ptx("k", INCREMENT)), b"k"), alloc(4)
def work():
    cuda.cuCtxSetCurrent(context); stream = c_void_p(); cuda.cuStreamCreate(byref(stream), 1)
    while True: launch(function, counter, stream)
[threading.Thread(target=work, daemon=True).start() for _ in range(4)]
time.sleep(0.3)
os._exit(0)
"""
    )


def test_threads_end_with_work_in_flight(program: Callable[..., str]) -> None:
    program(
        _BEGIN
        + """
function, counter = entry(load(ptx("k", INCREMENT)), b"k"), alloc(4)
PER_THREAD = c_void_p(2)
def work():
    check(cuda.cuCtxSetCurrent(context))
    for _ in range(50): check(launch(function, counter, PER_THREAD))     # and goes, with its own default stream
for _ in range(20):
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]; [t.join() for t in threads]
check(cuda.cuCtxSynchronize())
assert word(counter) == 4000
"""
    )


_PROGRAM = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
typedef int (*F)();
static void* library;
static unsigned long long address;
static F find(const char* name) { return (F)dlsym(library, name); }
struct Late {  // a static object, made before main: its destructor runs behind the handlers of exit
  ~Late() {
    int r = ((int (*)(unsigned long long))find("cuMemFree_v2"))(address);
    fprintf(stderr, "destructor %d\n", r);
  }
};
static Late late;
static void at_exit() {
  void* other;
  int r = ((int (*)(unsigned long long*, unsigned long))find("cuMemAlloc_v2"))((unsigned long long*)&other, 64);
  fprintf(stderr, "handler %d\n", r);
}
int main(int count, char** arguments) {
  void* context;
  library = dlopen(arguments[1], RTLD_NOW);
  if (!library) return 2;
  atexit(at_exit);
  if (((int (*)(unsigned))find("cuInit"))(0) || ((int (*)(void**, unsigned, int))find("cuCtxCreate_v2"))(&context, 0, 0)) return 3;
  if (((int (*)(unsigned long long*, unsigned long))find("cuMemAlloc_v2"))(&address, 64)) return 4;
  if (count > 2) {  // closed while threads of its own run: it stays
    dlclose(library);
    if (((int (*)(unsigned long long, unsigned char, unsigned long))find("cuMemsetD8_v2"))(address, 1, 64)) return 5;
  }
  return 0;
}
"""


@pytest.mark.parametrize("closes", [False, True])
def test_calls_from_exit_handlers_and_destructors(tmp_path: Path, library_dir: Path, closes: bool) -> None:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler: install g++")
    source, binary = tmp_path / "p.cpp", tmp_path / "p"
    source.write_text(_PROGRAM)
    subprocess.run([compiler, str(source), "-o", str(binary), "-ldl"], check=True)
    arguments = [str(binary), str(library_dir / "libcuda.so.1"), *(["close"] if closes else [])]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # Whether a call still works at that point or says that the driver is gone: it returns.
    lines = done.stderr.split()
    assert lines[0] == "handler" and lines[2] == "destructor" and {lines[1], lines[3]} <= {"0", "4"}, done.stderr
