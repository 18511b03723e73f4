"""Every symbol is exported; cuGetProcAddress; what cannot be called says so."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_int, c_void_p

import pytest

from .conftest import Driver


def test_every_symbol_is_exported(driver: Driver) -> None:
    missing = [s for s in driver.symbols if ctypes.cast(getattr(driver.cdll, s), c_void_p).value is None]
    assert missing == []


def address(driver: Driver, symbol: str) -> int | None:
    return ctypes.cast(getattr(driver.cdll, symbol), c_void_p).value


def lookup(driver: Driver, name: str, version: int, flags: int = 0) -> tuple[int | None, str]:
    function, status = c_void_p(), c_int(-1)
    driver.check(driver.cuGetProcAddress_v2(name.encode(), byref(function), version, flags, byref(status)))
    names = {
        driver.CU_GET_PROC_ADDRESS_SUCCESS: "found",
        driver.CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND: "unknown",
        driver.CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT: "version",
    }
    return function.value, names[status.value]


@pytest.mark.parametrize(
    ("name", "version", "flags", "symbol"),
    [
        ("cuMemAlloc", 13000, 0, "cuMemAlloc_v2"),
        ("cuMemAlloc", 3020, 0, "cuMemAlloc_v2"),
        ("cuMemAlloc", 3010, 0, "cuMemAlloc"),
        ("cuCtxCreate", 11040, 0, "cuCtxCreate_v3"),
        ("cuCtxCreate", 12040, 0, "cuCtxCreate_v3"),
        ("cuCtxCreate", 12050, 0, "cuCtxCreate_v4"),
        ("cuGetProcAddress", 11030, 0, "cuGetProcAddress"),
        ("cuGetProcAddress", 12000, 0, "cuGetProcAddress_v2"),
        ("cuLaunchKernel", 13000, 0, "cuLaunchKernel"),
        ("cuLaunchKernel", 13000, 1, "cuLaunchKernel"),
        ("cuLaunchKernel", 13000, 2, "cuLaunchKernel_ptsz"),
        ("cuLaunchKernel", 6050, 2, "cuLaunchKernel"),  # older than its twin
        ("cuMemcpyHtoD", 12000, 2, "cuMemcpyHtoD_v2_ptds"),
        ("cuMemAlloc", 12000, 2, "cuMemAlloc_v2"),  # has no twin
        ("cuGraphInstantiate", 11080, 0, "cuGraphInstantiate_v2"),
        ("cuGraphInstantiate", 12000, 0, "cuGraphInstantiateWithFlags"),  # cuda.h renames it
    ],
)
def test_proc_address_is_of_the_version(driver: Driver, name: str, version: int, flags: int, symbol: str) -> None:
    assert lookup(driver, name, version, flags) == (address(driver, symbol), "found")


def test_proc_address_says_why_not(driver: Driver) -> None:
    assert lookup(driver, "cuNoSuchFunction", 13000) == (None, "unknown")
    assert lookup(driver, "cuMemAlloc_v2", 13000) == (None, "unknown")  # base names only
    assert lookup(driver, "cuLaunchKernelEx", 11050) == (None, "version")


def test_first_proc_address_has_an_error_code_instead(driver: Driver) -> None:
    function = c_void_p()
    driver.check(driver.cuGetProcAddress(b"cuInit", byref(function), 12000, 0))
    assert function.value == address(driver, "cuInit")
    driver.expect("CUDA_ERROR_NOT_FOUND", driver.cuGetProcAddress(b"cuNoSuchFunction", byref(function), 12000, 0))
    driver.expect("CUDA_ERROR_NOT_FOUND", driver.cuGetProcAddress(b"cuLaunchKernelEx", byref(function), 11050, 0))


def test_proc_address_argument_checks(driver: Driver) -> None:
    function, status = c_void_p(), c_int()

    def call(symbol: bytes | None, out: object, version: int, flags: int) -> str:
        return driver.name_of(driver.cuGetProcAddress_v2(symbol, out, version, flags, byref(status)))

    assert call(None, byref(function), 12000, 0) == "CUDA_ERROR_INVALID_VALUE"
    assert call(b"cuInit", None, 12000, 0) == "CUDA_ERROR_INVALID_VALUE"
    assert call(b"cuInit", byref(function), 12000, 3) == "CUDA_ERROR_INVALID_VALUE"
    assert call(b"cuInit", byref(function), 12000, 8) == "CUDA_ERROR_INVALID_VALUE"
    assert call(b"cuInit", byref(function), 99000, 0) == "CUDA_ERROR_INVALID_VALUE"  # newer than the driver


def test_no_export_table_is_offered(driver: Driver) -> None:
    pointer, uuid = c_void_p(1), driver.new("CUuuid")
    driver.expect("CUDA_ERROR_NOT_FOUND", driver.cuGetExportTable(byref(pointer), byref(uuid)))
    assert pointer.value is None


def test_what_is_not_implemented_says_so_once(program: Callable[..., str]) -> None:
    text = program(
        """
        check(cuda.cuInit(0))
        for _ in range(3):
            print(error(cuda.cuVDPAUGetDevice(None, 0, None)))
        """,
        merge_stderr=True,
    )
    assert text.count("CUDA_ERROR_NOT_SUPPORTED") == 3
    assert text.count("cuVDPAUGetDevice is not supported: needs VDPAU surfaces") == 1


def test_trace_shows_arguments_outputs_and_result(program: Callable[..., str]) -> None:
    text = program(
        """
        check(cuda.cuInit(0))
        n = c_int()
        check(cuda.cuDeviceGetCount(byref(n)))
        print(error(cuda.cuDeviceGetAttribute(byref(n), 16, 99)))
        """,
        merge_stderr=True,
        ANYWARP_TRACE="1",
    )
    assert "cuInit(Flags=0) = CUDA_SUCCESS" in text
    assert " -> 1) = CUDA_SUCCESS" in text
    assert "attrib=CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, dev=99) = CUDA_ERROR_INVALID_DEVICE" in text


def test_trace_goes_to_a_file(program: Callable[..., str], tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "trace"
    program("check(cuda.cuInit(0))", ANYWARP_TRACE=str(path))
    assert "cuInit(Flags=0) = CUDA_SUCCESS" in path.read_text()
