"""Multicast objects of one device, logical endpoints and fabric copies."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest

from .conftest import Driver

MIB2 = 2 << 20

SETUP = """
import os, subprocess, sys
from ctypes import *
MIB2 = 2 << 20
def prop(device=0, handles=0):
    p = cuda.types["CUmemAllocationProp"](); p.type = 1; p.location.type = 1; p.location.id = device; p.requestedHandleTypes = handles
    return p
def physical(size, device=0, handles=0):
    h = c_ulonglong(); check(cuda.cuMemCreate(byref(h), size, byref(prop(device, handles)), 0)); return h.value
def mapped(handle, size):
    at = c_ulonglong(); check(cuda.cuMemAddressReserve(byref(at), size, 0, 0, 0)); check(cuda.cuMemMap(at, size, 0, handle, 0))
    access = cuda.types["CUmemAccessDesc"](); access.location.type = 1; access.flags = 3
    check(cuda.cuMemSetAccess(at, size, byref(access), 1)); return at.value
def fill(address, value, size=MIB2):
    check(cuda.cuMemsetD8_v2(address, value, size)); check(cuda.cuCtxSynchronize())
def byte(address):
    b = c_ubyte(); check(cuda.cuMemcpyDtoH_v2(byref(b), address, 1)); return b.value
def team(devices=1, size=2 * MIB2, handles=0):
    p = cuda.types["CUmulticastObjectProp"](); p.numDevices = devices; p.size = size; p.handleTypes = handles
    return p
context, stream = c_void_p(), c_void_p()
check(cuda.cuInit(0)); check(cuda.cuCtxCreate_v2(byref(context), 0, 0)); check(cuda.cuStreamCreate(byref(stream), 1))
def endpoint(id, kind=1, device=0, size=2 * MIB2, handles=0, flags=0):
    p = cuda.types["CUlogicalEndpointProp"](); p.type = kind; p.size = size; p.ipcHandleTypes = handles; p.flags = flags
    if kind == 1: p.unicast.device = device
    else: p.multicast.numDevices = device
    return cuda.cuLogicalEndpointCreate(id, byref(p))
def operand(pointer=0, id=0, offset=0):
    o = cuda.types["CUfabricCpyOperand"]()
    if pointer: o.type = 1; o.op.ptr.ptr = pointer
    else: o.type = 2; o.op.le.id = id; o.op.le.offset = offset
    return o
def copy(*operations):
    ops = (cuda.types["CUDA_FABRIC_COPY_BATCH_OP"] * len(operations))()
    for o, (source, destination, size) in zip(ops, operations): o.src, o.dst, o.size = source, destination, size
    return cuda.cuFabricCpyBatchAsync(len(operations), ops, 0, stream)
def ready(id, count=1):
    status = c_int(-1); check(cuda.cuLogicalEndpointQuery(id, count, byref(status))); return status.value
"""


def test_a_team_of_one_device(program: Callable[..., str]) -> None:
    program(
        SETUP
        + """
granularity, mc = c_size_t(), c_ulonglong()
check(cuda.cuMulticastGetGranularity(byref(granularity), byref(team()), 0)); assert granularity.value == MIB2
check(cuda.cuMulticastCreate(byref(mc), byref(team())))
memory = physical(2 * MIB2); plain = mapped(memory, 2 * MIB2); fill(plain, 7, 2 * MIB2)
check(cuda.cuMulticastAddDevice(mc, 0))
assert error(cuda.cuMulticastAddDevice(mc, 0)) == "CUDA_ERROR_INVALID_VALUE"          # the team is complete
seen = mapped(mc.value, 2 * MIB2)
check(cuda.cuMulticastBindMem(mc, MIB2, memory, 0, MIB2, 0))                           # bound behind the mapping
assert byte(seen + MIB2) == 7
fill(seen + MIB2, 9); assert byte(plain) == 9 and byte(plain + MIB2) == 7
assert error(cuda.cuMulticastBindMem(mc, MIB2, memory, MIB2, MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"   # taken
check(cuda.cuMulticastBindAddr_v2(mc, 0, 0, plain + MIB2, MIB2, 0)); assert byte(seen) == 7
kernel = '''.version 8.3
.target sm_90
.address_size 64
.visible .entry k(.param .u64 a) { .reg .b64 %a; .reg .b32 %r<2>; ld.param.u64 %a, [a];
  multimem.red.relaxed.sys.global.add.u32 [%a], 1; multimem.ld_reduce.relaxed.sys.global.add.u32 %r0, [%a+2097152];
  multimem.st.relaxed.sys.global.u32 [%a+2097156], %r0; ret; }'''
module, function, argument = c_void_p(), c_void_p(), c_ulonglong(seen)
check(cuda.cuModuleLoadData(byref(module), kernel.encode())); check(cuda.cuModuleGetFunction(byref(function), module, b"k"))
fill(plain + MIB2, 0)
check(cuda.cuLaunchKernel(function, 2, 1, 1, 32, 1, 1, 0, None, (c_void_p * 1)(addressof(argument)), None)); check(cuda.cuCtxSynchronize())
assert byte(plain + MIB2) == 64 and byte(plain + 4) == 9
check(cuda.cuMulticastUnbind(mc, 0, 0, MIB2))
assert error(cuda.cuMulticastUnbind(mc, 0, 0, MIB2)) == "CUDA_ERROR_INVALID_VALUE"
check(cuda.cuMemRelease(mc)); check(cuda.cuMemRelease(memory))
assert byte(seen + MIB2) == 9                                                          # mappings hold both
check(cuda.cuMemUnmap(seen, 2 * MIB2)); check(cuda.cuMemUnmap(plain, 2 * MIB2))
""",
        ANYWARP_COMPUTE_CAPABILITY="9.0",
    )


def test_what_multicast_refuses(program: Callable[..., str]) -> None:
    program(
        SETUP
        + """
mc = c_ulonglong()
create = lambda **k: error(cuda.cuMulticastCreate(byref(mc), byref(team(**k))))
assert error(cuda.cuMulticastCreate(None, byref(team()))) == "CUDA_ERROR_INVALID_VALUE"
assert create(devices=0) == create(devices=3) == create(size=0) == create(size=4096) == "CUDA_ERROR_INVALID_VALUE"
assert create(devices=2) == create(handles=1) == "CUDA_ERROR_NOT_SUPPORTED"
assert create() == "CUDA_SUCCESS"
memory = physical(MIB2, 1); check(cuda.cuMulticastAddDevice(mc, 0))
assert error(cuda.cuMulticastBindMem(mc, 0, memory, 0, MIB2, 0)) == "CUDA_ERROR_INVALID_DEVICE"   # another device's memory
assert error(cuda.cuMulticastBindMem(memory, 0, memory, 0, MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"
assert error(cuda.cuMulticastBindMem(mc, 4096, memory, 0, MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"
assert error(cuda.cuMulticastBindMem(mc, 0, memory, 0, 2 * MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"
assert error(cuda.cuMulticastBindMem(mc, 0, memory, 0, MIB2, 1)) == "CUDA_ERROR_INVALID_VALUE"
""",
        ANYWARP_COMPUTE_CAPABILITY="9.0",
        ANYWARP_DEVICES="2",
    )


def test_binding_and_mapping_wait_for_the_team(program: Callable[..., str]) -> None:
    program(
        SETUP
        + """
import threading, time
mc = c_ulonglong(); check(cuda.cuMulticastCreate(byref(mc), byref(team())))
memory, done = physical(MIB2), []
def bind(): check(cuda.cuMulticastBindMem(mc, 0, memory, 0, MIB2, 0)); done.append(1)
thread = threading.Thread(target=bind); thread.start(); time.sleep(0.1); assert not done
check(cuda.cuMulticastAddDevice(mc, 0)); thread.join(); assert done
""",
        ANYWARP_COMPUTE_CAPABILITY="9.0",
    )


def test_a_device_without_multimem_has_no_multicast(cuda: Driver) -> None:
    properties, handle = cuda.new("CUmulticastObjectProp"), ctypes.c_ulonglong()
    properties.numDevices, properties.size = 1, MIB2
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuMulticastCreate(ctypes.byref(handle), ctypes.byref(properties)))


def test_cliques(cuda: Driver) -> None:
    count, uuid = ctypes.c_size_t(), cuda.new("CUuuid")
    cuda.check(cuda.cuDeviceGetCliqueCount(ctypes.byref(count), 0))
    assert count.value == 3
    infos, room = (cuda.types["CUcliqueInfo"] * 8)(), ctypes.c_size_t(8)
    cuda.check(cuda.cuDeviceGetCliqueInfo(infos, ctypes.byref(room), 0))
    assert room.value == 3 and [i.type for i in infos[:3]] == [0, 2, 3]
    cuda.check(cuda.cuDeviceGetFabricClusterUuid(ctypes.byref(uuid), 0))
    assert any(bytes(uuid.bytes))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuDeviceGetCliqueCount(ctypes.byref(count), 99))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuDeviceGetFabricClusterUuid(None, 0))


def test_unicast_endpoint(program: Callable[..., str]) -> None:
    program(
        SETUP
        + """
first = c_uint(); check(cuda.cuLogicalEndpointIdReserve(byref(first), 3)); le = first.value
assert error(endpoint(le + 3)) == "CUDA_ERROR_INVALID_VALUE"                           # not reserved
assert error(endpoint(le, flags=1)) == "CUDA_ERROR_NOT_SUPPORTED"                      # counted operations
assert error(endpoint(le, size=100)) == "CUDA_ERROR_INVALID_VALUE"
check(endpoint(le)); assert error(endpoint(le)) == "CUDA_ERROR_INVALID_VALUE"
memory = physical(2 * MIB2); plain = mapped(memory, 2 * MIB2); fill(plain, 1, 2 * MIB2)
bind = lambda offset, at, size=MIB2: error(cuda.cuLogicalEndpointBindMem(le, 0, offset, memory, at, size, 0))
assert bind(0, 0) == "CUDA_ERROR_INVALID_VALUE"                                        # not queried
assert ready(le) == 1
assert bind(0, MIB2) == bind(MIB2, 0) == "CUDA_SUCCESS" and bind(0, MIB2) == "CUDA_ERROR_INVALID_VALUE"
source = c_ulonglong(); check(cuda.cuMemAlloc_v2(byref(source), 4096)); fill(source, 5, 4096)
check(copy((operand(source.value), operand(id=le, offset=MIB2 - 1000), 2000), (operand(id=le), operand(source.value + 3000), 0)))
check(cuda.cuStreamSynchronize(stream))
assert byte(plain + 2 * MIB2 - 1000) == 5 and byte(plain + 999) == 5 and byte(plain + 1000) == 1    # across two bindings
fill(plain + 100, 8, 10)
check(copy((operand(id=le, offset=MIB2 + 100), operand(source.value), 10))); check(cuda.cuStreamSynchronize(stream))
assert byte(source.value + 9) == 8
here = operand(source.value)
for broken in [(here, operand(id=le, offset=2 * MIB2 - 5), 10), (operand(id=le), operand(id=le), 4), (here, operand(id=77), 4)]:
    assert error(copy(broken)) == "CUDA_ERROR_INVALID_VALUE"
assert error(cuda.cuLogicalEndpointUnbind(le, 0, 4096, MIB2)) == "CUDA_ERROR_INVALID_VALUE"
check(cuda.cuLogicalEndpointUnbind(le, 0, 0, MIB2))
assert error(copy((operand(source.value), operand(id=le), 4))) == "CUDA_ERROR_INVALID_VALUE"
assert error(cuda.cuLogicalEndpointIdRelease(le, 3)) == "CUDA_ERROR_INVALID_VALUE"     # one lives
check(cuda.cuLogicalEndpointDestroy(le)); check(cuda.cuLogicalEndpointIdRelease(le, 3))
"""
    )


def test_multicast_endpoint_writes_to_every_device(program: Callable[..., str]) -> None:
    program(
        SETUP
        + """
first = c_uint(); check(cuda.cuLogicalEndpointIdReserve(byref(first), 1)); le = first.value
check(endpoint(le, kind=2, device=2)); assert ready(le) == 0
check(cuda.cuLogicalEndpointAddDevice(le, 0)); assert ready(le) == 0
check(cuda.cuLogicalEndpointAddDevice(le, 1)); assert ready(le) != 0
plains = []
for device in (0, 1):
    memory = physical(MIB2, device); plains.append(mapped(memory, MIB2)); fill(plains[-1], 0)
    assert error(cuda.cuLogicalEndpointBindMem(le, 1 - device, 0, memory, 0, MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"
    check(cuda.cuLogicalEndpointBindAddr(le, device, 0, plains[-1], MIB2, 0))
source = c_ulonglong(); check(cuda.cuMemAlloc_v2(byref(source), 64)); fill(source, 3, 64)
check(copy((operand(source.value), operand(id=le, offset=10), 64))); check(cuda.cuStreamSynchronize(stream))
assert [byte(p + 10) for p in plains] == [3, 3] and byte(plains[0] + 9) == 0
assert error(copy((operand(id=le), operand(source.value), 4))) == "CUDA_ERROR_INVALID_VALUE"      # reading one of several
""",
        ANYWARP_DEVICES="2",
    )


def test_an_endpoint_of_another_process(program: Callable[..., str]) -> None:
    program(
        SETUP
        + """
first = c_uint(); check(cuda.cuLogicalEndpointIdReserve(byref(first), 1)); le = first.value
if len(sys.argv) > 1:
    check(cuda.cuLogicalEndpointImport(le, bytes.fromhex(sys.argv[1]), 1)); assert ready(le) == 1
    source = c_ulonglong(); check(cuda.cuMemAlloc_v2(byref(source), 64)); fill(source, 6, 64)
    check(copy((operand(source.value), operand(id=le, offset=MIB2 + 8), 64))); check(cuda.cuStreamSynchronize(stream))
    assert error(cuda.cuLogicalEndpointBindMem(le, 0, 0, physical(MIB2, 0, 1), 0, MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"
    sys.exit(0)
check(endpoint(le, handles=1)); assert ready(le) == 1
assert error(cuda.cuLogicalEndpointBindMem(le, 0, 0, physical(MIB2), 0, MIB2, 0)) == "CUDA_ERROR_INVALID_VALUE"   # not shareable
memory = physical(MIB2, 0, 1); plain = mapped(memory, MIB2); fill(plain, 0)
check(cuda.cuLogicalEndpointBindMem(le, 0, MIB2, memory, 0, MIB2, 0))
handle = create_string_buffer(64); check(cuda.cuLogicalEndpointExport(handle, le, 1))
subprocess.run([sys.executable, "-c", open("/proc/self/cmdline").read().split("\\0")[2], handle.raw.hex()], check=True)
assert byte(plain + 8) == 6 and byte(plain + 7) == 0
"""
    )


@pytest.mark.parametrize("count", [0, 1 << 30])
def test_ids_that_cannot_be_reserved(cuda: Driver, count: int) -> None:
    first = ctypes.c_uint()
    expected = "CUDA_ERROR_INVALID_VALUE" if count == 0 else "CUDA_ERROR_OUT_OF_MEMORY"
    cuda.expect(expected, cuda.cuLogicalEndpointIdReserve(ctypes.byref(first), count))
