"""`nvidia-smi` for programs and people that ask it: the table, -L, -q, --query-gpu and --query-compute-apps.

What devices are comes from our libnvidia-ml. Virtual devices have no state outside the processes that use them: each of these answers
at the abstract socket of src/runtime/driver/checkpoint.cpp how much memory it has of each device, and the processor time of all of them
is what keeps the devices busy. What a processor has no counterpart of (fans, power, ECC) is N/A, as on devices without it. Standard
library only.
"""

from __future__ import annotations

import csv
import ctypes
import io
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anywarp import runtime_paths

_MOST_DEVICES = 64
_USAGE = 6  # the request's number
_REQUEST = struct.Struct(f"<III{_MOST_DEVICES * 32}x")
_REPLY = struct.Struct(f"<Ii{_MOST_DEVICES}Q")
NOT_AVAILABLE = "[N/A]"


@dataclass
class Process:
    pid: int
    used: tuple[int, ...]  # bytes by device

    @property
    def name(self) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/exe")
        except OSError:
            return "[Not Found]"


@dataclass
class Device:
    index: int
    name: str
    uuid: str
    bus_id: str
    total: int  # bytes
    capability: str
    clock: int  # MHz, of the processor
    memory_clock: int
    processes: list[Process] = field(default_factory=list)
    busy: int = 0  # percent

    @property
    def used(self) -> int:
        return min(self.total, sum(p.used[self.index] for p in self.processes))


class Library:
    """libnvidia-ml.so.1, as far as it is asked here. Raises OSError where it cannot be loaded or started."""

    def __init__(self) -> None:
        self._nvml = ctypes.CDLL(os.path.join(runtime_paths.library_dir(), "libnvidia-ml.so.1"))
        if self._nvml.nvmlInit_v2() != 0:
            raise OSError("the driver cannot be started")

    def _text(self, function: str, *arguments: object) -> str:
        buffer = ctypes.create_string_buffer(96)
        return buffer.value.decode() if getattr(self._nvml, function)(*arguments, buffer, 96) == 0 else NOT_AVAILABLE

    def driver_version(self) -> str:
        return self._text("nvmlSystemGetDriverVersion")

    def cuda_version(self) -> str:
        version = ctypes.c_int()
        self._nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version))
        return f"{version.value // 1000}.{version.value % 1000 // 10}"

    def devices(self) -> list[Device]:
        count = ctypes.c_uint()
        self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return [self._device(i) for i in range(count.value)]

    def _device(self, index: int) -> Device:
        handle, memory, numbers = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)(), (ctypes.c_int * 2)()
        self._nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
        self._nvml.nvmlDeviceGetMemoryInfo(handle, memory)
        self._nvml.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(numbers), ctypes.byref(numbers, 4))
        pci = ctypes.create_string_buffer(68)  # nvmlPciInfo_t: its last member is the identifier
        self._nvml.nvmlDeviceGetPciInfo_v3(handle, pci)
        clocks = []
        for kind in (1, 2):  # NVML_CLOCK_SM, NVML_CLOCK_MEM
            clock = ctypes.c_uint()
            self._nvml.nvmlDeviceGetMaxClockInfo(handle, kind, ctypes.byref(clock))
            clocks.append(clock.value)
        name, uuid = self._text("nvmlDeviceGetName", handle), self._text("nvmlDeviceGetUUID", handle)
        bus_id = pci.raw[36:].split(b"\0")[0].decode()
        return Device(index, name, uuid, bus_id, memory[0], f"{numbers[0]}.{numbers[1]}", clocks[0], clocks[1])


def processes() -> list[Process]:
    """The processes of this user that use CUDA here, but this one."""
    found = []
    try:
        with open("/proc/net/unix") as sockets:
            numbers = sorted({int(n) for n in re.findall(r"@anywarp-checkpoint-(\d+)$", sockets.read(), re.MULTILINE)})
    except OSError:
        return []
    for pid in numbers:
        if pid == os.getpid():
            continue
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(1)
                peer.connect(f"\0anywarp-checkpoint-{pid}")
                peer.sendall(_REQUEST.pack(_USAGE, 0, 0))
                with peer.makefile("rb") as stream:
                    reply = stream.read(_REPLY.size)
        except OSError:
            continue  # another user's, or it is just ending
        if len(reply) == _REPLY.size and (fields := _REPLY.unpack(reply))[0] == 0:
            found.append(Process(pid, fields[2:]))
    return found


def _processor_time(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_percent(users: Sequence[Process], seconds: float = 0.1) -> int:
    """How much of the machine the processes use, seen for a moment."""
    if not users:
        return 0
    before, start = [_processor_time(p.pid) for p in users], time.monotonic()
    time.sleep(seconds)
    used = sum(max(0.0, _processor_time(p.pid) - b) for p, b in zip(users, before, strict=True))
    return min(100, round(100 * used / ((time.monotonic() - start) * (os.cpu_count() or 1))))


def observe(library: Library) -> list[Device]:
    """The devices with the processes that hold memory of them, or use the first device without holding any."""
    devices, users = library.devices(), processes()
    busy = busy_percent(users)
    for device in devices:
        device.processes = [p for p in users if p.used[device.index] or (device.index == 0 and not any(p.used))]
        device.busy = busy if device.processes else 0
    return devices


# ---- Queries of fields

MIB = 1 << 20


def _mib(value: int) -> tuple[str, str]:
    return str(value // MIB), "MiB"


Field = Callable[[Device, Library], "str | tuple[str, str]"]  # a value, or one with its unit


def _constant(value: str) -> Field:
    return lambda device, library: value


GPU_FIELDS: dict[str, Field] = {
    "timestamp": lambda d, lib: time.strftime("%Y/%m/%d %H:%M:%S") + f".{int(time.time() * 1000) % 1000:03}",
    "driver_version": lambda d, lib: lib.driver_version(),
    "count": lambda d, lib: str(len(lib.devices())),
    "index": lambda d, lib: str(d.index),
    "name": lambda d, lib: d.name,
    "uuid": lambda d, lib: d.uuid,
    "pci.bus_id": lambda d, lib: d.bus_id,
    "pci.domain": lambda d, lib: f"0x{d.bus_id[4:8]}",
    "pci.bus": lambda d, lib: f"0x{d.bus_id[9:11]}",
    "pci.device": lambda d, lib: f"0x{d.bus_id[12:14]}",
    "compute_cap": lambda d, lib: d.capability,
    "compute_mode": _constant("Default"),
    "memory.total": lambda d, lib: _mib(d.total),
    "memory.used": lambda d, lib: _mib(d.used),
    "memory.free": lambda d, lib: _mib(d.total - d.used),
    "memory.reserved": lambda d, lib: _mib(0),
    "utilization.gpu": lambda d, lib: (str(d.busy), "%"),
    "utilization.memory": lambda d, lib: ("0", "%"),
    "clocks.current.sm": lambda d, lib: (str(d.clock), "MHz"),
    "clocks.max.sm": lambda d, lib: (str(d.clock), "MHz"),
    "clocks.current.graphics": lambda d, lib: (str(d.clock), "MHz"),
    "clocks.max.graphics": lambda d, lib: (str(d.clock), "MHz"),
    "clocks.current.memory": lambda d, lib: (str(d.memory_clock), "MHz"),
    "clocks.max.memory": lambda d, lib: (str(d.memory_clock), "MHz"),
}
_WITHOUT_COUNTERPART = """
serial temperature.gpu temperature.memory fan.speed power.draw power.limit power.default_limit power.max_limit
enforced.power.limit pstate persistence_mode display_mode display_active display_attached vbios_version
ecc.mode.current ecc.mode.pending mig.mode.current mig.mode.pending pcie.link.gen.current pcie.link.gen.max
pcie.link.width.current pcie.link.width.max accounting.mode encoder.stats.sessionCount
"""
for _name in _WITHOUT_COUNTERPART.split():
    GPU_FIELDS[_name] = _constant(NOT_AVAILABLE)
_GPU_NAMES = {
    "gpu_name": "name",
    "gpu_uuid": "uuid",
    "gpu_bus_id": "pci.bus_id",
    "gpu_serial": "serial",
    "clocks.sm": "clocks.current.sm",
    "clocks.gr": "clocks.current.graphics",
    "clocks.mem": "clocks.current.memory",
    "clocks.max.gr": "clocks.max.graphics",
    "clocks.max.mem": "clocks.max.memory",
}
_APP_NAMES = {"name": "process_name", "used_gpu_memory": "used_memory"}
_APP_FIELDS = ("pid", "process_name", "used_memory", "gpu_uuid", "gpu_name", "gpu_bus_id", "gpu_serial", "timestamp")


class UsageError(Exception):
    """Something on the command line that is not understood."""


def _fields(text: str, known: Sequence[str], names: dict[str, str]) -> list[str]:
    wanted = [f.strip() for f in text.split(",") if f.strip()]
    for name in wanted:
        if names.get(name, name) not in known:
            raise UsageError(f'Field "{name}" is not a valid field to query.')
    return wanted


def _table(titles: list[str], rows: list[list[str | tuple[str, str]]], style: set[str]) -> str:
    """Comma-separated values: `style` has "noheader", "nounits" or both."""
    out = io.StringIO()
    lines: list[list[str]] = []
    units = {i: cell[1] for row in rows for i, cell in enumerate(row) if isinstance(cell, tuple)}
    if "noheader" not in style:
        lines.append([f"{t} [{units[i]}]" if i in units else t for i, t in enumerate(titles)])
    for row in rows:
        lines.append([c if isinstance(c, str) else c[0] if "nounits" in style else " ".join(c) for c in row])
    for line in lines:
        # Values are parted by a comma and a space, which the csv module cannot write.
        cells = []
        for value in line:
            cell = io.StringIO()
            csv.writer(cell, lineterminator="").writerow([value])
            cells.append(cell.getvalue())
        out.write(", ".join(cells) + "\n")
    return out.getvalue()


def query_gpu(library: Library, devices: Sequence[Device], text: str, style: set[str]) -> str:
    wanted = _fields(text, list(GPU_FIELDS), _GPU_NAMES)
    rows = [[GPU_FIELDS[_GPU_NAMES.get(f, f)](d, library) for f in wanted] for d in devices]
    return _table(wanted, rows, style)


def query_apps(library: Library, devices: Sequence[Device], text: str, style: set[str]) -> str:
    wanted = _fields(text, _APP_FIELDS, _APP_NAMES)
    rows: list[list[str | tuple[str, str]]] = []
    for device in devices:
        for process in device.processes:
            own: dict[str, str | tuple[str, str]] = {
                "pid": str(process.pid),
                "process_name": process.name,
                "used_memory": _mib(process.used[device.index]),
            }
            names = [_APP_NAMES.get(f, f) for f in wanted]
            rows.append([own[n] if n in own else GPU_FIELDS[_GPU_NAMES.get(n, n)](device, library) for n in names])
    return _table(wanted, rows, style)


# ---- For people


def summary(library: Library, devices: Sequence[Device]) -> str:
    """The table that appears without options: 91 columns."""
    line = "+" + "-" * 41 + "+" + "-" * 24 + "+" + "-" * 22 + "+"
    double = line.replace("-", "=").replace("+", "|")
    wide = "+" + "-" * 89 + "+"
    title = f"NVIDIA-SMI {library.driver_version()} (Anywarp)"
    head = f" {title:<38}Driver Version: {library.driver_version():<15}CUDA Version: {library.cuda_version():<5} "
    out = [time.strftime("%a %b %e %H:%M:%S %Y"), wide, f"|{head:<89.89}|", line]
    out.append(f"| {'GPU  Name                 Persistence-M':<39} | {'Bus-Id          Disp.A':<22} | {'Volatile Uncorr. ECC':<20} |")
    out.append(f"| {'Fan  Temp   Perf          Pwr:Usage/Cap':<39} | {'Memory-Usage':>22} | {'GPU-Util  Compute M.':<20} |")
    out.append(f"| {'':<39} | {'':<22} | {'MIG M.':>20} |")
    out.append(double)
    for d in devices:
        memory = f"{d.used // MIB}MiB / {d.total // MIB}MiB"
        out.append(f"| {d.index:>3}  {d.name:<24.24}{'N/A':>10} | {d.bus_id + ' Off':<22.22} | {'N/A':>20} |")
        out.append(f"| {'N/A   N/A    N/A             N/A /  N/A':<39} | {memory:>22.22} | {f'{d.busy}%':>8}{'Default':>12} |")
        out += [f"| {'':<39} | {'':<22} | {'N/A':>20} |", line]
    out += ["", wide, f"| {'Processes:':<87} |"]
    out.append(f"| {' GPU   GI   CI              PID   Type   Process name                        GPU Memory':<87.87} |")
    out.append(f"| {'       ID   ID                                                               Usage':<87.87} |")
    out.append("|" + "=" * 89 + "|")
    rows = [(d, p) for d in devices for p in d.processes]
    for d, p in rows:
        name = p.name if len(p.name) <= 34 else "..." + p.name[-31:]
        out.append(f"| {d.index:>4}   N/A  N/A {p.pid:>16}      C   {name:<34}{f'{p.used[d.index] // MIB}MiB':>12}".ljust(90) + "|")
    if not rows:
        out.append(f"| {' No running processes found':<87} |")
    out.append(wide)
    return "\n".join(out) + "\n"


def listing(devices: Sequence[Device]) -> str:
    return "".join(f"GPU {d.index}: {d.name} (UUID: {d.uuid})\n" for d in devices)


def details(library: Library, devices: Sequence[Device]) -> str:
    """-q: a part of what the program of that name tells."""

    def entry(depth: int, name: str, value: str | None = None) -> str:
        left = "    " * depth + name
        return left if value is None else f"{left:<51}: {value}"

    out = ["", "==============NVSMI LOG==============", "", entry(0, "Timestamp", time.strftime("%a %b %e %H:%M:%S %Y"))]
    out += [entry(0, "Driver Version", library.driver_version()), entry(0, "CUDA Version", library.cuda_version()), ""]
    out.append(entry(0, "Attached GPUs", str(len(devices))))
    for d in devices:
        out += [entry(0, f"GPU {d.bus_id}"), entry(1, "Product Name", d.name), entry(1, "Product Architecture", "N/A")]
        out += [
            entry(1, "Persistence Mode", "N/A"),
            entry(1, "Serial Number", "N/A"),
            entry(1, "GPU UUID", d.uuid),
            entry(1, "Minor Number", str(d.index)),
        ]
        out += [entry(1, "PCI"), entry(2, "Bus Id", d.bus_id), entry(1, "Fan Speed", "N/A"), entry(1, "Performance State", "N/A")]
        out += [entry(1, "FB Memory Usage"), entry(2, "Total", f"{d.total // MIB} MiB"), entry(2, "Reserved", "0 MiB")]
        out += [
            entry(2, "Used", f"{d.used // MIB} MiB"),
            entry(2, "Free", f"{(d.total - d.used) // MIB} MiB"),
            entry(1, "Compute Mode", "Default"),
        ]
        out += [entry(1, "Utilization"), entry(2, "GPU", f"{d.busy} %"), entry(2, "Memory", "0 %")]
        out += [entry(1, "Max Clocks"), entry(2, "SM", f"{d.clock} MHz"), entry(2, "Memory", f"{d.memory_clock} MHz")]
        if not d.processes:
            out.append(entry(1, "Processes", "None"))
            continue
        out.append(entry(1, "Processes"))
        for p in d.processes:
            out += [entry(2, "Process ID", str(p.pid)), entry(3, "Type", "C"), entry(3, "Name", p.name)]
            out.append(entry(3, "Used GPU Memory", f"{p.used[d.index] // MIB} MiB"))
    return "\n".join(out) + "\n"


# ---- The command line

USAGE = """usage: nvidia-smi [-L | -q | --query-gpu=FIELDS | --query-compute-apps=FIELDS]
                  [--format=csv[,noheader][,nounits]] [-i ID] [-l SECONDS]
A stand-in by Anywarp: the devices are virtual, processes are those of this user. --help-query-gpu lists the fields.
"""


def _selected(devices: list[Device], text: str) -> list[Device]:
    chosen = []
    for word in text.split(","):
        match = [d for d in devices if word in (str(d.index), d.uuid, d.bus_id)]
        if not match:
            raise UsageError(f"No devices were found: {word}")
        chosen += match
    return chosen


def report(arguments: Sequence[str], library: Library) -> tuple[str, float]:
    """What the arguments ask for, and after how many seconds to say it again (0: never). Raises UsageError."""
    mode, text, style, which, interval = "summary", "", set[str](), "", 0.0
    words = list(arguments)
    while words:
        word, has_value, value = words.pop(0).partition("=")
        if (
            word in ("-i", "--id", "-l", "--loop", "-f", "--filename", "--query-gpu", "--query-compute-apps", "--format", "-d", "--display")
            and not has_value
        ):
            if not words:
                raise UsageError(f"Option {word} is missing its value.")
            value = words.pop(0)
        if word in ("-L", "--list-gpus"):
            mode = "list"
        elif word in ("-q", "--query", "-d", "--display"):
            mode = "query"
        elif word in ("--query-gpu", "--query-compute-apps"):
            mode, text = word[2:], value
        elif word == "--format":
            parts = {p.strip() for p in value.split(",")}
            if "csv" not in parts or not parts <= {"csv", "noheader", "nounits"}:
                raise UsageError(f'"{value}" is not a format that is known: csv[,noheader][,nounits].')
            style = parts
        elif word in ("-i", "--id"):
            which = value
        elif word in ("-l", "--loop"):
            try:
                interval = max(0.1, float(value))
            except ValueError:
                raise UsageError(f'"{value}" is no number of seconds.') from None
        elif word in ("-h", "--help"):
            return USAGE, 0
        elif word == "--help-query-gpu":
            return "".join(f'"{name}"\n' for name in sorted({*GPU_FIELDS, *_GPU_NAMES})), 0
        elif word == "--version":
            return f"NVIDIA-SMI version  : {library.driver_version()} (Anywarp)\nCUDA Version        : {library.cuda_version()}\n", 0
        else:
            raise UsageError(f"Invalid combination of input arguments: {word}. Please run 'nvidia-smi -h' for help.")
    if mode.startswith("query-") and not style:
        raise UsageError("--format= is needed: csv[,noheader][,nounits].")
    devices = observe(library)
    if which:
        devices = _selected(devices, which)
    if mode == "list":
        return listing(devices), interval
    if mode == "query":
        return details(library, devices), interval
    if mode == "query-gpu":
        return query_gpu(library, devices, text, style), interval
    if mode == "query-compute-apps":
        return query_apps(library, devices, text, style), interval
    return summary(library, devices), interval


def main(arguments: Sequence[str]) -> int:
    try:
        library = Library()
    except (OSError, runtime_paths.RuntimeNotFound) as error:
        print(f"NVIDIA-SMI has failed because it couldn't communicate with the driver: {error}", file=sys.stderr)
        return 9
    try:
        while True:
            text, interval = report(arguments, library)
            sys.stdout.write(text)
            sys.stdout.flush()
            if not interval:
                return 0
            time.sleep(interval)
    except UsageError as error:
        print(error)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
