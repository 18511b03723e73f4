"""What everything around a kernel costs: `python -m benchmarks.costs [--json FILE]`.

Times are medians on the machine as it is; a goal is for an idle one of two cores. The loops of short calls run in C++ (launch_loop.cpp).
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.anywarp_route import CudaError, Driver
from benchmarks.machine import describe
from benchmarks.natural_route import build

ROOT = Path(__file__).parent.parent
EMPTY = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry empty()\n{\n\tret;\n}\n"

# A kernel as numba-cuda compiles `y[i] = a * x[i] + y[i]`: 15 parameters, 64-bit indices that may be negative, generic loads.
PARAMETERS = ",\n".join(f"\t.param .b{32 if i == 0 else 64} k_param_{i}" for i in range(15))
NUMBA_LIKE = f"""
.version 8.0
.target sm_80
.address_size 64
.visible .entry k(
{PARAMETERS}
)
{{
	.reg .pred %p<2>;
	.reg .f32 %f<5>;
	.reg .b32 %r<5>;
	.reg .b64 %rd<21>;
	ld.param.f32 %f1, [k_param_0];
	ld.param.u64 %rd3, [k_param_5];
	ld.param.u64 %rd4, [k_param_6];
	ld.param.u64 %rd7, [k_param_10];
	ld.param.u64 %rd5, [k_param_12];
	ld.param.u64 %rd6, [k_param_13];
	mov.u32 %r1, %tid.x;
	cvt.s64.s32 %rd8, %r1;
	mov.u32 %r2, %ntid.x;
	mov.u32 %r3, %ctaid.x;
	mul.wide.s32 %rd9, %r2, %r3;
	add.s64 %rd1, %rd9, %rd8;
	setp.lt.s64 %p1, %rd1, %rd7;
	@%p1 bra $L_2;
	bra.uni $L_1;
$L_2:
	shr.s64 %rd12, %rd1, 63;
	and.b64 %rd13, %rd12, %rd4;
	add.s64 %rd14, %rd13, %rd1;
	shl.b64 %rd15, %rd14, 2;
	add.s64 %rd16, %rd3, %rd15;
	ld.f32 %f2, [%rd16];
	and.b64 %rd17, %rd12, %rd6;
	add.s64 %rd18, %rd17, %rd1;
	shl.b64 %rd19, %rd18, 2;
	add.s64 %rd20, %rd5, %rd19;
	ld.f32 %f3, [%rd20];
	fma.rn.f32 %f4, %f1, %f2, %f3;
	st.f32 [%rd20], %f4;
$L_1:
	ret;
}}
"""


class Costs:
    """The figures so far, in order."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, value: float | list[float], unit: str, goal: str = "") -> None:
        """A figure, or several of which the median and the lowest are shown."""
        values = value if isinstance(value, list) else [value]
        row: dict[str, Any] = {"name": name, "median": statistics.median(values), "lowest": min(values), "count": len(values)}
        first = re.match(r"[\d.]+", goal)  # the goal of now; one that begins with "later" is none yet
        row |= {"unit": unit, "goal": goal, "of_goal": row["median"] / float(first[0]) if first else None}
        self.rows.append(row)
        self.console.print(f"  {name}: {row['median']:.4g} {unit}", style="dim")


def milliseconds(code: Callable[[], Any], times: int) -> list[float]:
    out = []
    for _ in range(times):
        start = time.perf_counter()
        code()
        out.append(1e3 * (time.perf_counter() - start))
    return out


def calls(costs: Costs, driver: Driver) -> None:
    """Launches, events and graphs."""
    loop = ctypes.CDLL(str(build(Path(__file__).parent / "launch_loop.cpp", "c++")))
    for name in ("enqueue", "round_trip", "record_event", "graph_round_trip"):
        getattr(loop, name).restype = ctypes.c_double
    library = driver.library
    function = driver.function(EMPTY.encode(), "empty")
    launch, synchronize = library.cuLaunchKernel, library.cuStreamSynchronize
    loop.round_trip(launch, synchronize, function, 2000)
    costs.add("enqueue of an empty kernel", _checked(loop.enqueue(launch, synchronize, function, 200, 100)), "µs", "2 (later 1.5)")
    costs.add("launch and synchronise", _checked(loop.round_trip(launch, synchronize, function, 5000)), "µs", "10 (later 6)")
    costs.add("empty kernels in a row, each", _throughput(driver, function) / 1e3, "µs")
    event = ctypes.c_void_p()
    driver.call("cuEventCreate", ctypes.byref(event), 0)
    costs.add("record an event", _checked(loop.record_event(library.cuEventRecord, synchronize, event, 200, 100)), "µs")
    graph, executable, nodes = ctypes.c_void_p(), ctypes.c_void_p(), 1000
    stream = ctypes.c_void_p()
    driver.call("cuStreamCreate", ctypes.byref(stream), 1)
    driver.call("cuStreamBeginCapture_v2", stream, 0)
    for _ in range(nodes):
        driver.call("cuLaunchKernel", function, 1, 1, 1, 32, 1, 1, 0, stream, None, None)
    driver.call("cuStreamEndCapture", stream, ctypes.byref(graph))
    driver.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
    each = _checked(loop.graph_round_trip(library.cuGraphLaunch, synchronize, executable, 50)) / nodes
    costs.add("graph of 1,000 empty kernels, a node", each, "µs", "later 0.3")


def _checked(nanoseconds: float) -> float:
    """As microseconds. Raises CudaError where a call in the loop failed."""
    if nanoseconds < 0:
        raise CudaError("a call in launch_loop.cpp failed")
    return nanoseconds / 1e3


def _throughput(driver: Driver, function: ctypes.c_void_p) -> float:
    """Nanoseconds a kernel from the first enqueue to the end of the last."""
    count = 2000
    launch = driver.library.cuLaunchKernel
    one, block, zero, null = ctypes.c_uint(1), ctypes.c_uint(32), ctypes.c_uint(0), ctypes.c_void_p()

    def run() -> None:
        for _ in range(count):
            launch(function, one, one, one, block, one, one, zero, null, null, null)
        driver.call("cuCtxSynchronize")

    return 1e6 * statistics.median(milliseconds(run, 9)) / count


def copies(costs: Costs, driver: Driver) -> None:
    """Copies against memcpy, interleaved."""
    size = 64 << 20
    bytes_ = ctypes.c_size_t(size)
    host, other = (ctypes.c_char * size)(), (ctypes.c_char * size)()
    a, b = ctypes.c_uint64(), ctypes.c_uint64()
    for address in (a, b):
        driver.call("cuMemAlloc_v2", ctypes.byref(address), bytes_)
        driver.call("cuMemsetD8_v2", address, ctypes.c_ubyte(1), bytes_)

    def device_to_device() -> None:
        driver.call("cuMemcpyDtoD_v2", b, a, bytes_)
        driver.call("cuCtxSynchronize")

    ways: dict[str, Callable[[], Any]] = {
        "memcpy": lambda: ctypes.memmove(other, host, size),
        "host to device": lambda: driver.call("cuMemcpyHtoD_v2", a, host, bytes_),
        "device to host": lambda: driver.call("cuMemcpyDtoH_v2", host, a, bytes_),
        "device to device": device_to_device,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(9):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    memcpy = statistics.median(times.pop("memcpy"))
    costs.add("memcpy of 64 MB by one thread", size / memcpy / 1e9, "GB/s")
    for name, seconds in times.items():
        costs.add(f"copy of 64 MB, {name}: time over memcpy's", [s / memcpy for s in seconds], "")
    small = ctypes.c_size_t(4)
    costs.add(
        "copy of 4 bytes, host to device",
        [1e3 * t for t in milliseconds(lambda: driver.call("cuMemcpyHtoD_v2", a, host, small), 300)],
        "µs",
    )
    costs.add(
        "copy of 4 bytes, device to host",
        [1e3 * t for t in milliseconds(lambda: driver.call("cuMemcpyDtoH_v2", host, a, small), 300)],
        "µs",
    )


def compiles(costs: Costs, driver: Driver) -> None:
    """Small kernels in a warm compiler, as the program sees them and by stage; a large module's parse."""
    from anywarp import pipeline

    variants = iter(_variants(64))
    for _ in range(3):
        _load_and_launch(driver, next(variants))
    as_seen = milliseconds(lambda: _load_and_launch(driver, next(variants)), 20)
    costs.add("small numba kernel: load and first launch, warm compiler", as_seen, "ms", "60 (later 40)")
    cpu: list[float] = []
    stages: dict[str, list[float]] = {}
    for text in list(variants)[:15]:
        start = time.process_time()
        kernel = pipeline.compile_kernel(pipeline.read_module(text), "k")
        cpu.append(1e3 * (time.process_time() - start))
        for stage, seconds in kernel.seconds.items():
            stages.setdefault(stage, []).append(1e3 * seconds)
    costs.add("  its compile in this process, CPU time", cpu, "ms", "60 (later 40)")
    for stage, values in stages.items():
        costs.add(f"  of it, {stage}", values, "ms")
    lines = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "ptx_parsing.py")], capture_output=True, text=True, env=_environment("")
    ).stdout
    found = dict(line.split(None, 1) for line in lines.splitlines())
    costs.add(f"parse of a module of {found['module'].split(',')[0]} and 300 entries", float(found["parse"].split()[0]), "s of CPU", "10")
    costs.add("  memory of it", float(found["memory"].split()[0]), "MB", "1500")


def _variants(count: int) -> list[str]:
    """Texts that no cache holds."""
    return [NUMBA_LIKE + f"// {os.getpid()} {time.time_ns()} {i}\n" for i in range(count)]


def _load_and_launch(driver: Driver, text: str) -> None:
    function = driver.function(text.encode(), "k")
    # All sizes are 0: no thread gets past the test.
    values: list[ctypes.c_float | ctypes.c_uint64] = [ctypes.c_float(1.0), *(ctypes.c_uint64(0) for _ in range(14))]
    parameters = (ctypes.c_void_p * 15)(*[ctypes.cast(ctypes.byref(v), ctypes.c_void_p) for v in values])
    driver.call("cuLaunchKernel", function, 1, 1, 1, 128, 1, 1, 0, None, parameters, None)
    driver.call("cuCtxSynchronize")


CHILD = """
import sys, time, ctypes
sys.path[:0] = {path!r}
from benchmarks.anywarp_route import Driver
from benchmarks.costs import NUMBA_LIKE, _load_and_launch
start = time.perf_counter()
driver = Driver()
address = ctypes.c_uint64()
driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(1 << 20))
ready, busy = time.perf_counter(), time.process_time()
if {launch}:
    _load_and_launch(driver, NUMBA_LIKE)
print(1e3 * (ready - start), 1e3 * (time.perf_counter() - ready), 1e3 * (time.process_time() - busy))
import os
os._exit(0)
"""


def _environment(cache: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    variables = {**os.environ, "PYTHONPATH": path}
    variables.setdefault("ANYWARP_PYTHON", sys.executable)
    variables.setdefault("ANYWARP_PYTHONPATH", str(ROOT / "src"))
    return {**variables, "ANYWARP_CACHE_DIR": cache} if cache else variables


def _child(cache: str, launch: bool = True) -> tuple[float, float, float]:
    """(start of the driver, load and first launch, CPU time of these two) in a new process, ms."""
    program = CHILD.format(path=[str(ROOT / "src"), str(ROOT)], launch=launch)
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=_environment(cache), check=True).stdout
    start, first, cpu = out.split()[-3:]
    return float(start), float(first), float(cpu)


def new_processes(costs: Costs) -> None:
    """First launches in a new process, with an empty cache and a full one."""
    with tempfile.TemporaryDirectory() as folder:
        cold = [_child(os.path.join(folder, str(i))) for i in range(5)]
        warm = [_child(os.path.join(folder, "0")) for _ in range(25)]
    costs.add("cuInit, context, first allocation in a new process", [s for s, _, _ in warm], "ms")
    costs.add("load and first launch, nothing cached (starts the compiler)", [f for _, f, _ in cold], "ms")
    costs.add("load and first launch, cached", [f for _, f, _ in warm], "ms", "3 (later 2)")
    costs.add("  its CPU time", [cpu for _, _, cpu in warm], "ms", "3 (later 2)")


def command_line(costs: Costs) -> None:
    """`anywarp run true` over `true`, interleaved, and import anywarp.auto."""
    program = "import sys; from anywarp.cli.main import main; sys.exit(main())"
    commands = {
        "run": [sys.executable, "-c", program, "run", "true"],
        "true": ["true"],
        "python": [sys.executable, "-c", "pass"],
        "auto": [sys.executable, "-c", "import anywarp.auto"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(15):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, env=_environment(""), check=True)
            times[name].append(1e3 * (time.perf_counter() - start))

    def over(name: str, base: str) -> list[float]:
        return [a - b for a, b in zip(times[name], times[base])]

    costs.add("`anywarp run true` over `true`", over("run", "true"), "ms", "later 120")
    costs.add("  of it, Python itself", over("python", "true"), "ms")
    costs.add("`import anywarp.auto` over an empty Python program", over("auto", "python"), "ms")


def compiler_memory(costs: Costs) -> None:
    for child in _children():
        if b"anywarp.compiler" in Path(f"/proc/{child}/cmdline").read_bytes():
            costs.add("memory of the compiler, busy with small kernels", _resident(child), "MB", "later 150")


def _resident(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1024


def _children() -> Iterator[int]:
    for task in Path("/proc/self/task").iterdir():
        yield from (int(n) for n in (task / "children").read_text().split())


def run(json_file: Annotated[Path | None, typer.Option("--json", help="The figures.")] = None) -> None:
    """Prints what launches, copies, compiles and processes cost."""
    console = Console()
    os.environ.update({k: v for k, v in _environment("").items() if k.startswith("ANYWARP_PYTHON")})
    machine = describe()
    console.print(machine["text"])
    costs = Costs(console)
    start = _resident(os.getpid())
    driver = Driver()
    address = ctypes.c_uint64()
    driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4096))
    costs.add("memory that the driver adds to an idle process", _resident(os.getpid()) - start, "MB")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ANYWARP_CACHE_DIR"] = cache
        calls(costs, driver)
        costs.add("  after these launches, events and graphs", _resident(os.getpid()) - start, "MB", "later 60")
        copies(costs, driver)
        compiles(costs, driver)
        compiler_memory(costs)
    new_processes(costs)
    command_line(costs)
    table = Table(title="costs around the kernel")
    for name, justify in (
        ("what", "left"),
        ("median", "right"),
        ("lowest", "right"),
        ("", "left"),
        ("goal", "left"),
        ("of the goal", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in costs.rows:
        lowest = f"{row['lowest']:.3g}" if row["count"] > 1 else ""
        table.add_row(
            row["name"], f"{row['median']:.3g}", lowest, row["unit"], row["goal"], f"{row['of_goal']:.2f}" if row["of_goal"] else ""
        )
    (console if console.is_terminal else Console(width=130)).print(table)
    machine["load_after"] = os.getloadavg()[0]
    if json_file:
        json_file.write_text(json.dumps({"machine": machine, "costs": costs.rows}, indent=1))


if __name__ == "__main__":
    typer.run(run)
