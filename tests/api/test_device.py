"""Devices: attributes from the profile, identity, several of them."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_int, c_size_t, create_string_buffer

import pytest

from .conftest import Driver

Program = Callable[..., str]


def attribute(driver: Driver, name: str) -> int:
    value = c_int()
    driver.check(driver.cuDeviceGetAttribute(byref(value), driver.values[f"CU_DEVICE_ATTRIBUTE_{name}"], 0))
    return value.value


def test_wrong_devices(driver: Driver) -> None:
    n, size = c_int(), c_size_t()
    for device in (-1, 1, 1000):
        driver.expect("CUDA_ERROR_INVALID_DEVICE", driver.cuDeviceGet(byref(n), device))
        driver.expect("CUDA_ERROR_INVALID_DEVICE", driver.cuDeviceTotalMem_v2(byref(size), device))
        driver.expect("CUDA_ERROR_INVALID_DEVICE", driver.cuDeviceGetAttribute(byref(n), 1, device))
        driver.expect("CUDA_ERROR_INVALID_DEVICE", driver.cuDeviceGetName(create_string_buffer(9), 9, device))


def test_null_pointers(driver: Driver) -> None:
    for call in (
        lambda: driver.cuDeviceGet(None, 0),
        lambda: driver.cuDeviceGetCount(None),
        lambda: driver.cuDeviceGetName(None, 10, 0),
        lambda: driver.cuDeviceTotalMem_v2(None, 0),
        lambda: driver.cuDeviceGetAttribute(None, 1, 0),
        lambda: driver.cuDeviceGetUuid_v2(None, 0),
        lambda: driver.cuDeviceGetPCIBusId(None, 10, 0),
        lambda: driver.cuDeviceGetByPCIBusId(None, b"0000:01:00.0"),
    ):
        driver.expect("CUDA_ERROR_INVALID_VALUE", call())


@pytest.mark.parametrize("number", [0, -1, 10_000])
def test_wrong_attributes(driver: Driver, number: int) -> None:
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuDeviceGetAttribute(byref(c_int()), number, 0))


def test_attributes_of_compute_capability_8(driver: Driver) -> None:
    assert attribute(driver, "COMPUTE_CAPABILITY_MAJOR") == 8
    assert attribute(driver, "COMPUTE_CAPABILITY_MINOR") == 0
    assert attribute(driver, "WARP_SIZE") == 32
    assert attribute(driver, "MAX_THREADS_PER_BLOCK") == 1024
    assert attribute(driver, "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN") == 163 * 1024
    assert attribute(driver, "MULTIPROCESSOR_COUNT") >= 1
    assert attribute(driver, "UNIFIED_ADDRESSING") == 1
    assert attribute(driver, "CLOCK_RATE") > 0


def test_old_properties_agree_with_attributes(driver: Driver) -> None:
    properties = driver.new("CUdevprop")
    driver.check(driver.cuDeviceGetProperties(byref(properties), 0))
    assert properties.maxThreadsPerBlock == attribute(driver, "MAX_THREADS_PER_BLOCK")
    assert list(properties.maxGridSize) == [2**31 - 1, 65535, 65535]
    major, minor = c_int(), c_int()
    driver.check(driver.cuDeviceComputeCapability(byref(major), byref(minor), 0))
    assert (major.value, minor.value) == (8, 0)


def test_name_is_cut_to_fit(driver: Driver) -> None:
    short = create_string_buffer(b"#" * 8, 8)
    driver.check(driver.cuDeviceGetName(short, 4, 0))
    assert short.raw == b"Any\0####"
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuDeviceGetName(short, 0, 0))


def test_bus_id_leads_back(driver: Driver) -> None:
    text, device = create_string_buffer(32), c_int(-1)
    driver.check(driver.cuDeviceGetPCIBusId(text, 32, 0))
    assert text.value == b"0000:01:00.0"
    for form in (text.value, b"01:00.0", b"01:00"):
        device.value = -1
        driver.check(driver.cuDeviceGetByPCIBusId(byref(device), form))
        assert device.value == 0
    driver.expect("CUDA_ERROR_INVALID_DEVICE", driver.cuDeviceGetByPCIBusId(byref(device), b"0000:7f:00.0"))
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuDeviceGetByPCIBusId(byref(device), b"gpu"))


SURVEY = """
check(cuda.cuInit(0))
n, a, b, size = c_int(), c_int(), c_int(), c_size_t()
check(cuda.cuDeviceGetCount(byref(n)))
uuids, sizes = set(), []
for i in range(n.value):
    u = cuda.types["CUuuid"]()
    check(cuda.cuDeviceGetUuid_v2(byref(u), i)); uuids.add(bytes(u))
    check(cuda.cuDeviceTotalMem_v2(byref(size), i)); sizes.append(size.value)
    check(cuda.cuDeviceGetAttribute(byref(a), 75, i)); check(cuda.cuDeviceGetAttribute(byref(b), 76, i))
print(n.value, len(uuids), a.value, b.value, len(set(sizes)))
"""


def test_several_devices_are_distinct(program: Program) -> None:
    assert program(SURVEY, ANYWARP_DEVICES="3") == "3 3 8 0 1\n"


@pytest.mark.parametrize(("text", "expected"), [("9.0", "9 0"), ("86", "8 6"), ("12.0", "12 0"), ("120", "12 0")])
def test_compute_capability_is_configurable(program: Program, text: str, expected: str) -> None:
    assert program(SURVEY, ANYWARP_COMPUTE_CAPABILITY=text) == f"1 1 {expected} 1\n"


def test_nonsense_in_the_environment_is_named(program: Program) -> None:
    text = program(SURVEY, merge_stderr=True, ANYWARP_COMPUTE_CAPABILITY="new", ANYWARP_DEVICES="many", ANYWARP_DEVICE="h100")
    assert text.startswith("1 1 8 0 1\n")
    for name in ("ANYWARP_COMPUTE_CAPABILITY=new", "ANYWARP_DEVICES=many", "ANYWARP_DEVICE=h100"):
        assert name in text


def test_no_devices(program: Program) -> None:
    assert program("print(error(cuda.cuInit(0)))", ANYWARP_DEVICES="0") == "CUDA_ERROR_NO_DEVICE\n"


def test_peers(program: Program) -> None:
    text = program(
        """
        check(cuda.cuInit(0))
        can, a, b = c_int(), c_void_p(), c_void_p()
        check(cuda.cuDeviceCanAccessPeer(byref(can), 0, 1)); print(can.value)
        check(cuda.cuDeviceCanAccessPeer(byref(can), 0, 0)); print(can.value)
        check(cuda.cuCtxCreate_v2(byref(a), 0, 0))
        check(cuda.cuCtxCreate_v2(byref(b), 0, 1))
        print(error(cuda.cuCtxEnablePeerAccess(a, 0)))
        print(error(cuda.cuCtxEnablePeerAccess(a, 0)))
        print(error(cuda.cuCtxEnablePeerAccess(b, 0)))
        print(error(cuda.cuCtxDisablePeerAccess(a)))
        print(error(cuda.cuCtxDisablePeerAccess(a)))
        p, q, back = c_ulonglong(), c_ulonglong(), create_string_buffer(4)
        check(cuda.cuMemAlloc_v2(byref(p), 4))
        check(cuda.cuCtxSetCurrent(a))
        check(cuda.cuMemAlloc_v2(byref(q), 4))
        check(cuda.cuMemcpyHtoD_v2(q, b"peer", 4))
        check(cuda.cuMemcpyPeer(p, b, q, a, 4))
        check(cuda.cuCtxSynchronize())
        check(cuda.cuMemcpyDtoH_v2(back, p, 4)); print(back.raw.decode())
        """,
        ANYWARP_DEVICES="2",
    )
    assert text.split() == [
        "1",
        "0",
        "CUDA_SUCCESS",
        "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED",
        "CUDA_ERROR_INVALID_CONTEXT",
        "CUDA_SUCCESS",
        "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED",
        "peer",
    ]
