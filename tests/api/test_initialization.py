"""Before, during and after initialization: cuInit, versions, forked processes, errors' names."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_char_p, c_int

from .conftest import Driver

Program = Callable[..., str]


def test_nothing_works_before_init(program: Program) -> None:
    text = program(
        """
        n, p, c = c_int(), c_ulonglong(), c_void_p()
        print(error(cuda.cuDeviceGetCount(byref(n))), error(cuda.cuMemAlloc_v2(byref(p), 16)), error(cuda.cuCtxGetCurrent(byref(c))))
        print(error(cuda.cuDriverGetVersion(byref(n))), n.value)
        """
    )
    assert text == "CUDA_ERROR_NOT_INITIALIZED CUDA_ERROR_NOT_INITIALIZED CUDA_ERROR_NOT_INITIALIZED\nCUDA_SUCCESS 13050\n"


def test_init_takes_no_flags(driver: Driver) -> None:
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuInit(1))
    driver.check(driver.cuInit(0))


def test_version_is_configurable(program: Program) -> None:
    code = "n = c_int(); check(cuda.cuDriverGetVersion(byref(n))); print(n.value)"
    assert program(code, ANYWARP_DRIVER_VERSION="12080") == "12080\n"
    assert program(code, ANYWARP_DRIVER_VERSION="12.8") == "12080\n"
    text = program(code, ANYWARP_DRIVER_VERSION="new", merge_stderr=True)
    assert text.startswith("13050\n") and "ANYWARP_DRIVER_VERSION=new" in text


def test_version_needs_a_place(driver: Driver) -> None:
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuDriverGetVersion(None))


def test_forked_child_gets_an_error_and_one_line(program: Program) -> None:
    text = program(
        """
        import os, sys
        check(cuda.cuInit(0))
        n = c_int()
        if os.fork() == 0:
            a = error(cuda.cuDeviceGetCount(byref(n)))
            b = error(cuda.cuInit(0))
            print(a, b, flush=True)
            os._exit(0)
        os.wait()
        check(cuda.cuDeviceGetCount(byref(n)))
        print("parent", n.value)
        """,
        merge_stderr=True,
    )
    assert "CUDA_ERROR_NOT_INITIALIZED CUDA_ERROR_NOT_INITIALIZED\nparent 1\n" in text
    assert text.count("was forked from one that uses CUDA") == 1


def test_fork_before_init_is_fine(program: Program) -> None:
    text = program(
        """
        import os
        if os.fork() == 0:
            print(error(cuda.cuInit(0)), flush=True)
            os._exit(0)
        os.wait()
        print(error(cuda.cuInit(0)))
        """
    )
    assert text == "CUDA_SUCCESS\nCUDA_SUCCESS\n"


def test_calls_at_exit_do_no_harm(program: Program) -> None:
    program(
        """
        import atexit
        check(cuda.cuInit(0))
        c, p = c_void_p(), c_ulonglong()
        check(cuda.cuCtxCreate_v2(byref(c), 0, 0))
        check(cuda.cuMemAlloc_v2(byref(p), 1 << 20))
        atexit.register(lambda: cuda.cuMemFree_v2(p))
        """
    )


def test_every_result_has_a_name_and_a_string(driver: Driver) -> None:
    text = c_char_p()
    names = driver.api.by_name["CUresult"].members  # type: ignore[union-attr]
    for name, value in names.items():
        driver.check(driver.cuGetErrorName(value, byref(text)))
        assert text.value == name.encode()
        driver.check(driver.cuGetErrorString(value, byref(text)))
        assert text.value is not None and len(text.value) > 5


def test_unknown_results_have_neither(driver: Driver) -> None:
    text = c_char_p(b"x")
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuGetErrorName(12345, byref(text)))
    assert text.value is None
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuGetErrorString(12345, byref(text)))
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuGetErrorName(0, None))
    driver.expect("CUDA_ERROR_INVALID_VALUE", driver.cuGetErrorString(0, None))


def test_profiler_control_does_nothing(driver: Driver) -> None:
    driver.check(driver.cuProfilerStart())
    driver.check(driver.cuProfilerStop())


def test_count_is_one(driver: Driver) -> None:
    n = c_int()
    driver.check(driver.cuDeviceGetCount(byref(n)))
    assert n.value == 1
