"""Launches: parameters in every form, shapes, attributes, occupancy, the API before CUDA 4.0, faults that stay."""

from __future__ import annotations

import ctypes
import struct
from ctypes import byref, c_int, c_size_t, c_ubyte, c_uint, c_ulonglong, c_ushort, c_void_p

import pytest

from .conftest import Driver
from .kernels import ADD, FAULTS, HEADER, MIXED, SHARED


@pytest.fixture
def add(cuda: Driver) -> int:
    return cuda.function(cuda.module(ADD), "add")


def words(cuda: Driver, address: int, count: int) -> list[int]:
    return list(struct.unpack(f"<{count}I", cuda.download(address, 4 * count)))


def test_grid_of_blocks(cuda: Driver, add: int) -> None:
    address = cuda.upload(struct.pack("<1000I", *range(1000)))
    cuda.check(cuda.launch(add, 8, 128, c_ulonglong(address), c_uint(999), c_uint(5)))
    assert words(cuda, address, 1000) == [*range(5, 1004), 999]


@pytest.mark.parametrize(
    ("grid", "block", "shared", "result"),
    [
        ((0, 1, 1), (1, 1, 1), 0, "CUDA_ERROR_INVALID_VALUE"),
        ((1, 1, 1), (1, 0, 1), 0, "CUDA_ERROR_INVALID_VALUE"),
        ((1, 65536, 1), (1, 1, 1), 0, "CUDA_ERROR_INVALID_VALUE"),
        ((1, 1, 1), (1025, 1, 1), 0, "CUDA_ERROR_INVALID_VALUE"),
        ((1, 1, 1), (32, 33, 1), 0, "CUDA_ERROR_INVALID_VALUE"),
        ((1, 1, 1), (1, 1, 65), 0, "CUDA_ERROR_INVALID_VALUE"),
        ((1, 1, 1), (1, 1, 1), 48 * 1024 + 1, "CUDA_ERROR_INVALID_VALUE"),
    ],
)
def test_wrong_shapes(cuda: Driver, grid: tuple[int, ...], block: tuple[int, ...], shared: int, result: str) -> None:
    empty = cuda.function(cuda.module(ADD), "empty")
    assert cuda.name_of(cuda.cuLaunchKernel(empty, *grid, *block, shared, None, None, None)) == result
    cuda.check(cuda.cuCtxSynchronize())  # nothing that stays


def test_argument_checks(cuda: Driver, add: int) -> None:
    extra = (c_void_p * 1)(0)
    pointers = (c_void_p * 3)()
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuLaunchKernel(None, 1, 1, 1, 1, 1, 1, 0, None, None, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, None, None, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, None, pointers, extra))
    wrong = (c_void_p * 3)(77, 0, 0)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, None, None, wrong))
    nonsense = ctypes.addressof(ctypes.create_string_buffer(256))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuLaunchKernel(nonsense, 1, 1, 1, 1, 1, 1, 0, None, None, None))


def test_kernel_without_parameters_needs_none(cuda: Driver) -> None:
    empty = cuda.function(cuda.module(ADD), "empty")
    cuda.check(cuda.cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, None, None, None))
    cuda.check(cuda.cuCtxSynchronize())


def test_parameters_of_every_size(cuda: Driver) -> None:
    mixed, target = cuda.function(cuda.module(MIXED), "mixed"), cuda.alloc(8)
    cuda.check(cuda.launch(mixed, 1, 1, c_ulonglong(target), c_ubyte(200), c_ushort(60000), c_ulonglong(1 << 40)))
    assert struct.unpack("<Q", cuda.download(target, 8)) == ((1 << 40) + 60200,)


def test_parameters_in_a_buffer(cuda: Driver) -> None:
    mixed, target = cuda.function(cuda.module(MIXED), "mixed"), cuda.alloc(8)
    data = struct.pack("<QBxH4xQ", target, 1, 2, 3)
    buffer, size = ctypes.create_string_buffer(data, len(data)), c_size_t(len(data))
    extra = (c_void_p * 5)(1, ctypes.addressof(buffer), 2, ctypes.addressof(size), 0)
    cuda.check(cuda.cuLaunchKernel(mixed, 1, 1, 1, 1, 1, 1, 0, None, None, extra))
    assert struct.unpack("<Q", cuda.download(target, 8)) == (6,)


def test_parameters_are_copied_at_the_call(cuda: Driver, add: int) -> None:
    address = cuda.upload(bytes(4))
    value = c_uint(1)
    for i in range(50):
        value.value = i
        cuda.check(cuda.launch(add, 1, 1, c_ulonglong(address), c_uint(1), value))
    value.value = 1000
    assert words(cuda, address, 1) == [sum(range(50))]


def test_the_api_before_cuda_4(cuda: Driver, add: int) -> None:
    address = cuda.upload(bytes(40))
    pointer = c_ulonglong(address)
    cuda.check(cuda.cuFuncSetBlockShape(add, 5, 1, 1))
    cuda.check(cuda.cuParamSetv(add, 0, byref(pointer), 8))
    cuda.check(cuda.cuParamSeti(add, 8, 9))
    cuda.check(cuda.cuParamSeti(add, 12, 3))
    cuda.check(cuda.cuParamSetSize(add, 16))
    cuda.check(cuda.cuLaunchGrid(add, 2, 1))
    assert words(cuda, address, 10) == [3] * 9 + [0]
    cuda.check(cuda.cuLaunch(add))
    assert words(cuda, address, 10) == [6] * 5 + [3] * 4 + [0]
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncSetBlockShape(add, 0, 1, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuParamSeti(add, -1, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchGrid(add, 0, 1))


def test_launch_with_attributes(cuda: Driver, add: int) -> None:
    address = cuda.upload(bytes(64))
    config, attribute = cuda.new("CUlaunchConfig"), cuda.new("CUlaunchAttribute")
    config.gridDimX, config.gridDimY, config.gridDimZ = 1, 1, 1
    config.blockDimX, config.blockDimY, config.blockDimZ = 16, 1, 1
    attribute.id, attribute.value.cooperative = cuda.CU_LAUNCH_ATTRIBUTE_COOPERATIVE, 1
    config.attrs, config.numAttrs = ctypes.cast(ctypes.pointer(attribute), c_void_p), 1
    arguments = (c_ulonglong(address), c_uint(16), c_uint(2))
    pointers = (c_void_p * 3)(*(ctypes.addressof(a) for a in arguments))
    cuda.check(cuda.cuLaunchKernelEx(byref(config), add, pointers, None))
    assert words(cuda, address, 16) == [2] * 16
    attribute.id = 1000
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchKernelEx(byref(config), add, pointers, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchKernelEx(None, add, pointers, None))
    attribute.id = cuda.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
    attribute.value.clusterDim.x = attribute.value.clusterDim.y = attribute.value.clusterDim.z = 2
    cuda.expect("CUDA_ERROR_INVALID_CLUSTER_SIZE", cuda.cuLaunchKernelEx(byref(config), add, pointers, None))


def test_cooperative_launch(cuda: Driver, add: int) -> None:
    address = cuda.upload(bytes(256))
    arguments = (c_ulonglong(address), c_uint(64), c_uint(3))
    pointers = (c_void_p * 3)(*(ctypes.addressof(a) for a in arguments))
    cuda.check(cuda.cuLaunchCooperativeKernel(add, 2, 1, 1, 32, 1, 1, 0, None, pointers))
    assert words(cuda, address, 64) == [3] * 64


def test_dynamic_shared_memory(cuda: Driver) -> None:
    reverse = cuda.function(cuda.module(SHARED), "reverse")
    address = cuda.upload(struct.pack("<64I", *range(64)))
    cuda.check(cuda.launch(reverse, 1, 64, c_ulonglong(address), shared=256))
    assert words(cuda, address, 64) == list(range(63, -1, -1))
    # More than 48 KiB only after it has been asked for.
    assert cuda.name_of(cuda.launch(reverse, 1, 64, c_ulonglong(address), shared=64 * 1024)) == "CUDA_ERROR_INVALID_VALUE"
    most = cuda.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    cuda.check(cuda.cuFuncSetAttribute(reverse, most, 64 * 1024))
    value = c_int()
    cuda.check(cuda.cuFuncGetAttribute(byref(value), most, reverse))
    assert value.value == 64 * 1024
    cuda.check(cuda.launch(reverse, 1, 64, c_ulonglong(address), shared=64 * 1024))
    assert words(cuda, address, 64) == list(range(64))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncSetAttribute(reverse, most, 1 << 20))


def test_shared_memory_modes(cuda: Driver) -> None:
    """CUDA 13.3's way to more than 48 KiB: a mode of the function or of one launch, which wins."""
    reverse = cuda.function(cuda.module(SHARED), "reverse")
    argument = c_ulonglong(cuda.upload(bytes(256)))
    most = c_int()
    cuda.check(cuda.cuDeviceGetAttribute(byref(most), cuda.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0))
    config, attribute = cuda.new("CUlaunchConfig"), cuda.new("CUlaunchAttribute")
    config.gridDimX, config.gridDimY, config.gridDimZ = 1, 1, 1
    config.blockDimX, config.blockDimY, config.blockDimZ = 64, 1, 1
    config.attrs, config.numAttrs = ctypes.cast(ctypes.pointer(attribute), c_void_p), 1
    attribute.id = cuda.CU_LAUNCH_ATTRIBUTE_SHARED_MEMORY_MODE

    def launch(mode: str, size: int) -> str:
        config.sharedMemBytes = size
        attribute.value.sharedMemoryMode = cuda.values[f"CU_SHARED_MEMORY_MODE_{mode}"]
        pointers = (c_void_p * 1)(ctypes.addressof(argument))
        return cuda.name_of(cuda.cuLaunchKernelEx(byref(config), reverse, pointers, None))

    limit = 48 * 1024
    assert launch("DEFAULT", most.value) == "CUDA_ERROR_INVALID_VALUE"
    assert launch("ALLOW_NON_PORTABLE", most.value) == "CUDA_SUCCESS"
    assert launch("ALLOW_NON_PORTABLE", most.value + 1) == "CUDA_ERROR_INVALID_VALUE"
    set_mode = cuda.CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE
    cuda.check(cuda.cuFuncSetAttribute(reverse, set_mode, cuda.CU_SHARED_MEMORY_MODE_ALLOW_OVERSIZED_SHARED_MEMORY))
    assert launch("DEFAULT", most.value) == "CUDA_SUCCESS"
    assert launch("REQUIRE_PORTABLE", limit) == "CUDA_SUCCESS"
    assert launch("REQUIRE_PORTABLE", limit + 1) == "CUDA_ERROR_INVALID_VALUE"
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncSetAttribute(reverse, set_mode, 5))


def test_function_attributes(cuda: Driver, add: int) -> None:
    def get(name: str, function: int = add) -> int:
        value = c_int(-7)
        cuda.check(cuda.cuFuncGetAttribute(byref(value), cuda.values[f"CU_FUNC_ATTRIBUTE_{name}"], function))
        return value.value

    assert get("MAX_THREADS_PER_BLOCK") == 1024
    assert get("SHARED_SIZE_BYTES") == 0
    assert get("CONST_SIZE_BYTES") == 4
    assert get("LOCAL_SIZE_BYTES") == 0
    assert 0 < get("NUM_REGS") <= 255
    assert (get("PTX_VERSION"), get("BINARY_VERSION")) == (80, 80)
    body = "{ .shared .align 4 .b8 s[100]; .reg .b32 %r; mov.u32 %r, s; st.shared.u32 [%r], %r; ret; }"
    function = cuda.function(cuda.module(HEADER + ".visible .entry k() .maxntid 96, 2, 1 " + body), "k")
    assert get("MAX_THREADS_PER_BLOCK", function) == 192
    assert get("SHARED_SIZE_BYTES", function) == 100
    many = "{ .reg .b32 %r<400>; " + " ".join(f"mov.u32 %r{i}, %clock;" for i in range(400)) + " ret; }"  # 144 registers a thread
    for directives, threads, registers in (
        ("", 448, 144),
        (".maxntid 1024", 1024, 64),
        (".reqntid 256, 4", 1024, 64),
        (".maxntid 256 .minnctapersm 4", 256, 64),
        (".maxnreg 40", 1024, 40),
    ):
        function = cuda.function(cuda.module(HEADER + f".visible .entry k() {directives} " + many), "k")
        assert (get("MAX_THREADS_PER_BLOCK", function), get("NUM_REGS", function)) == (threads, registers), directives
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncGetAttribute(byref(c_int()), 99, add))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncGetAttribute(None, 0, add))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuFuncGetAttribute(byref(c_int()), 0, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncSetAttribute(add, cuda.CU_FUNC_ATTRIBUTE_NUM_REGS, 3))
    cuda.check(cuda.cuFuncSetCacheConfig(add, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncSetCacheConfig(add, 9))


def test_occupancy(cuda: Driver, add: int) -> None:
    blocks, grid, size, shared = c_int(), c_int(), c_int(), c_size_t()
    cuda.check(cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(byref(blocks), add, 1024, 0))
    assert blocks.value == 2  # 2048 threads an SM
    cuda.check(cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(byref(blocks), add, 32, 0))
    assert blocks.value == 32  # at most 32 blocks
    cuda.check(cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(byref(blocks), add, 32, 40 * 1024))
    assert blocks.value == 4  # 164 KiB of shared memory, 1 KiB of each block's reserved
    cuda.check(cuda.cuOccupancyMaxPotentialBlockSize(byref(grid), byref(size), add, cuda.types["CUoccupancyB2DSize"](), 0, 0))
    sms = c_int()
    cuda.check(cuda.cuDeviceGetAttribute(byref(sms), cuda.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0))
    assert (size.value, grid.value) == (1024, 2 * sms.value)
    # With a limit, and shared memory that grows with the block.
    per_thread = cuda.types["CUoccupancyB2DSize"](lambda threads: threads * 40)
    cuda.check(cuda.cuOccupancyMaxPotentialBlockSize(byref(grid), byref(size), add, per_thread, 0, 256))
    assert 0 < size.value <= 256
    cuda.check(cuda.cuOccupancyAvailableDynamicSMemPerBlock(byref(shared), add, 2, 128))
    assert shared.value == 48 * 1024
    cuda.check(cuda.cuOccupancyAvailableDynamicSMemPerBlock(byref(shared), add, 16, 128))
    assert shared.value == 164 * 1024 // 16 // 128 * 128 - 1024
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(byref(blocks), add, 0, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(None, add, 32, 0))


@pytest.mark.parametrize(("kernel", "result"), [("bad_address", "CUDA_ERROR_ILLEGAL_ADDRESS"), ("traps", "CUDA_ERROR_ILLEGAL_INSTRUCTION")])
def test_faults_stay_in_their_context(cuda: Driver, kernel: str, result: str, capfd: pytest.CaptureFixture[str]) -> None:
    function = cuda.function(cuda.module(FAULTS), kernel)
    cuda.check(cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None))
    if kernel == "traps":
        assert cuda.name_of(cuda.cuCtxSynchronize()) in ("CUDA_ERROR_ILLEGAL_INSTRUCTION", "CUDA_ERROR_LAUNCH_FAILED")
        return
    cuda.expect(result, cuda.cuCtxSynchronize())
    address = c_ulonglong()
    cuda.expect(result, cuda.cuMemAlloc_v2(byref(address), 16))
    cuda.expect(result, cuda.cuStreamSynchronize(None))
    cuda.expect(result, cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None))
    assert kernel in capfd.readouterr().err
    # Another context is sound.
    second = c_void_p()
    cuda.check(cuda.cuCtxCreate_v2(byref(second), 0, 0))
    cuda.check(cuda.cuMemAlloc_v2(byref(address), 16))
    cuda.check(cuda.cuCtxDestroy_v2(second))


def test_functions_of_another_context_are_refused(cuda: Driver, add: int) -> None:
    second = c_void_p()
    cuda.check(cuda.cuCtxCreate_v2(byref(second), 0, 0))
    assert cuda.name_of(cuda.launch(add, 1, 1, c_ulonglong(0), c_uint(0), c_uint(0))) == "CUDA_ERROR_INVALID_HANDLE"
    cuda.check(cuda.cuCtxDestroy_v2(second))


def test_unknown_instruction_is_named_at_the_launch(cuda: Driver, capfd: pytest.CaptureFixture[str]) -> None:
    module = c_void_p()
    text = HEADER + ".visible .entry k() { .reg .b32 %r<3>; frobnicate.u32 %r1, %r2; ret; }"
    result = cuda.cuModuleLoadData(byref(module), text.encode())
    if result == 0:
        function = cuda.function(module.value or 0, "k")
        result = cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None)
    assert cuda.name_of(result) == "CUDA_ERROR_INVALID_PTX"
    assert "frobnicate" in capfd.readouterr().err
