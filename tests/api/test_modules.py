"""Modules, libraries, kernels and the linker: what is loaded, what is refused and how that is said."""

from __future__ import annotations

import ctypes
import re
import struct
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p, create_string_buffer
from pathlib import Path

import pytest

from .conftest import Driver
from .kernels import ADD, HEADER, MIXED

BROKEN = HEADER + ".visible .entry broken() {\n  .reg .b32 %r<3>;\n  add.u32 %r1 %r2;\n  ret;\n}\n"


def fatbin(*entries: tuple[int, bytes]) -> bytes:
    """A fat binary of (kind, payload): 1 PTX, 2 ELF. Layout: docs/images.md."""
    body = b""
    for kind, payload in entries:
        payload += b"\0" * (-len(payload) % 8)
        body += struct.pack("<HHIQIIIIIIQQQ", kind, 0x101, 64, len(payload), 0, 0, 0, 80, 64, 0, 0, 0, 0)[:64].ljust(64, b"\0") + payload
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def load(cuda: Driver, image: bytes) -> tuple[str, int | None]:
    module = c_void_p()
    result = cuda.cuModuleLoadData(byref(module), image)
    return cuda.name_of(result), module.value


def run_add(cuda: Driver, function: int) -> bytes:
    address = cuda.upload(b"\x01\0\0\0" * 4)
    cuda.check(cuda.launch(function, 1, 32, c_ulonglong(address), c_uint(3), c_uint(5)))
    cuda.check(cuda.cuCtxSynchronize())
    return cuda.download(address, 16)


ADDED = b"\x06\0\0\0" * 3 + b"\x01\0\0\0"


def test_argument_checks(cuda: Driver) -> None:
    module, function = c_void_p(), c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleLoadData(None, ADD.encode()))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleLoadData(byref(module), None))
    cuda.expect("CUDA_ERROR_FILE_NOT_FOUND", cuda.cuModuleLoad(byref(module), b"/no/such/file.ptx"))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleLoad(byref(module), None))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuModuleUnload(None))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuModuleGetFunction(byref(function), None, b"add"))
    handle = cuda.module(ADD)
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuModuleGetFunction(byref(function), handle, b"sub"))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleGetFunction(byref(function), handle, None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleGetFunction(None, handle, b"add"))
    cuda.check(cuda.cuModuleUnload(handle))


def test_broken_ptx_is_explained_in_the_error_log(cuda: Driver) -> None:
    module, log, info = c_void_p(), create_string_buffer(1000), create_string_buffer(b"#" * 100, 100)
    names = ("ERROR_LOG_BUFFER", "ERROR_LOG_BUFFER_SIZE_BYTES", "INFO_LOG_BUFFER", "INFO_LOG_BUFFER_SIZE_BYTES")
    options = (c_uint * 4)(*(cuda.values["CU_JIT_" + n] for n in names))
    values = (c_void_p * 4)(ctypes.addressof(log), 1000, ctypes.addressof(info), 100)
    result = cuda.cuModuleLoadDataEx(byref(module), BROKEN.encode(), 4, options, values)
    assert cuda.name_of(result) == "CUDA_ERROR_INVALID_PTX"
    text = log.value.decode()
    assert ":6:" in text and "%r2" in text  # the line, and what is wrong there
    assert values[1] == len(text)
    assert info.value == b"" and not values[3]


def test_a_short_log_buffer_is_not_overrun(cuda: Driver) -> None:
    module, log = c_void_p(), create_string_buffer(b"#" * 32, 32)
    options = (c_uint * 2)(cuda.CU_JIT_ERROR_LOG_BUFFER, cuda.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
    values = (c_void_p * 2)(ctypes.addressof(log), 16)
    assert cuda.cuModuleLoadDataEx(byref(module), BROKEN.encode(), 2, options, values) != 0
    assert log.raw[15:] == b"\0" + b"#" * 16
    assert values[1] == 15


def test_jit_option_checks(cuda: Driver) -> None:
    module = c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleLoadDataEx(byref(module), ADD.encode(), 1, None, None))
    options, values = (c_uint * 1)(1000), (c_void_p * 1)(0)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleLoadDataEx(byref(module), ADD.encode(), 1, options, values))
    options[0] = cuda.CU_JIT_WALL_TIME
    cuda.check(cuda.cuModuleLoadDataEx(byref(module), ADD.encode(), 1, options, values))
    assert struct.unpack("<f", struct.pack("<Q", values[0] or 0)[:4])[0] > 0


def test_limits_of_registers(cuda: Driver) -> None:
    """CU_JIT_MAX_REGISTERS, given to modules and to libraries, and `.maxnreg`: kernels report no more."""
    options, values = (c_uint * 1)(cuda.CU_JIT_MAX_REGISTERS), (c_void_p * 1)(7)
    limited, free, library = c_void_p(), cuda.module(ADD), c_void_p()
    cuda.check(cuda.cuModuleLoadDataEx(byref(limited), ADD.encode(), 1, options, values))
    cuda.check(cuda.cuLibraryLoadData(byref(library), ADD.encode(), options, values, 1, None, None, 0))
    of_library = c_void_p()
    cuda.check(cuda.cuLibraryGetModule(byref(of_library), library))
    directive = cuda.module(re.sub(r"\)\s*\{", ")\n.maxnreg 6\n{", ADD, count=1))

    def registers(module: int) -> int:
        count = ctypes.c_int()
        cuda.check(cuda.cuFuncGetAttribute(byref(count), cuda.CU_FUNC_ATTRIBUTE_NUM_REGS, cuda.function(module, "add")))
        return count.value

    assert registers(free) > 7
    assert registers(limited.value or 0) == registers(of_library.value or 0) == 7
    assert registers(directive) == 6


@pytest.mark.parametrize("image", [b"\0" * 64, b"\x01\x02\x03\x04" + b"\0" * 60])
def test_images_of_no_kind(cuda: Driver, image: bytes) -> None:
    assert load(cuda, image)[0] in ("CUDA_ERROR_INVALID_IMAGE", "CUDA_ERROR_INVALID_PTX")


def test_machine_code_only_is_refused(cuda: Driver) -> None:
    elf = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 0, 0x50, 64, 0, 0, 64, 0, 0)
    assert load(cuda, elf)[0] == "CUDA_ERROR_NO_BINARY_FOR_GPU"
    assert load(cuda, fatbin((2, elf)))[0] == "CUDA_ERROR_NO_BINARY_FOR_GPU"


def test_fatbin_and_wrapper(cuda: Driver) -> None:
    image = fatbin((1, ADD.encode() + b"\0"))
    result, module = load(cuda, image)
    assert result == "CUDA_SUCCESS"
    assert run_add(cuda, cuda.function(module or 0, "add")) == ADDED
    data = create_string_buffer(image, len(image))
    wrapper = struct.pack("<IIQQ", 0x466243B1, 1, ctypes.addressof(data), 0)
    module2 = c_void_p()
    cuda.check(cuda.cuModuleLoadFatBinary(byref(module2), wrapper))
    assert run_add(cuda, cuda.function(module2.value or 0, "add")) == ADDED


def test_load_from_file(cuda: Driver, tmp_path: Path) -> None:
    path, module = tmp_path / "add.ptx", c_void_p()
    path.write_text(ADD)
    cuda.check(cuda.cuModuleLoad(byref(module), str(path).encode()))
    assert run_add(cuda, cuda.function(module.value or 0, "add")) == ADDED
    path.write_text("")
    cuda.expect("CUDA_ERROR_INVALID_IMAGE", cuda.cuModuleLoad(byref(module), str(path).encode()))


def test_globals(cuda: Driver) -> None:
    module, address, size = cuda.module(ADD), c_ulonglong(), c_size_t()
    cuda.check(cuda.cuModuleGetGlobal_v2(byref(address), byref(size), module, b"table"))
    assert size.value == 16
    assert struct.unpack("<4I", cuda.download(address.value, 16)) == (1, 2, 3, 4)
    cuda.check(cuda.cuMemcpyHtoD_v2(address.value + 8, struct.pack("<I", 7), 4))
    constant = c_ulonglong()
    cuda.check(cuda.cuModuleGetGlobal_v2(byref(constant), None, module, b"scale"))
    cuda.check(cuda.cuMemcpyHtoD_v2(constant, struct.pack("<I", 6), 4))
    target = cuda.alloc(4)
    cuda.check(cuda.launch(cuda.function(module, "read"), 1, 1, c_ulonglong(target)))
    assert struct.unpack("<I", cuda.download(target, 4)) == (42,)
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuModuleGetGlobal_v2(byref(address), byref(size), module, b"none"))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuModuleGetGlobal_v2(byref(address), byref(size), module, None))


def test_enumeration(cuda: Driver) -> None:
    module, count = cuda.module(ADD), c_uint()
    cuda.check(cuda.cuModuleGetFunctionCount(byref(count), module))
    assert count.value == 3
    functions = (c_void_p * 3)()
    cuda.check(cuda.cuModuleEnumerateFunctions(functions, 3, module))
    names = set()
    for f in functions:
        name, owner = c_char_p(), c_void_p()
        cuda.check(cuda.cuFuncGetName(byref(name), f))
        cuda.check(cuda.cuFuncGetModule(byref(owner), f))
        assert owner.value == module
        names.add(name.value)
    assert names == {b"add", b"read", b"empty"}


def test_unloaded_module_and_its_functions_are_recognised(cuda: Driver) -> None:
    module = cuda.module(ADD)
    cuda.check(cuda.cuModuleUnload(module))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuModuleUnload(module))


def test_parameters_are_described(cuda: Driver) -> None:
    function = cuda.function(cuda.module(MIXED), "mixed")
    found = []
    offset, size = c_size_t(), c_size_t()
    for i in range(4):
        cuda.check(cuda.cuFuncGetParamInfo(function, i, byref(offset), byref(size)))
        found.append((offset.value, size.value))
    assert found == [(0, 8), (8, 1), (10, 2), (16, 8)]
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuFuncGetParamInfo(function, 4, byref(offset), byref(size)))
    cuda.check(cuda.cuFuncGetParamCount(function, byref(size)))
    assert size.value == 4


def test_library_serves_every_context(cuda: Driver) -> None:
    library, kernel, function, name = c_void_p(), c_void_p(), c_void_p(), c_char_p()
    cuda.check(cuda.cuLibraryLoadData(byref(library), ADD.encode(), None, None, 0, None, None, 0))
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuLibraryGetKernel(byref(kernel), library, b"sub"))
    cuda.check(cuda.cuLibraryGetKernel(byref(kernel), library, b"add"))
    cuda.check(cuda.cuKernelGetName(byref(name), kernel))
    assert name.value == b"add"
    cuda.check(cuda.cuKernelGetFunction(byref(function), kernel))
    assert run_add(cuda, function.value or 0) == ADDED
    assert run_add(cuda, kernel.value or 0) == ADDED  # a kernel may stand for a function
    second, other = c_void_p(), c_void_p()
    cuda.check(cuda.cuCtxCreate_v2(byref(second), 0, 0))
    cuda.check(cuda.cuKernelGetFunction(byref(other), kernel))
    assert other.value != function.value
    assert run_add(cuda, kernel.value or 0) == ADDED
    cuda.check(cuda.cuCtxDestroy_v2(second))
    assert run_add(cuda, kernel.value or 0) == ADDED
    module = c_void_p()
    cuda.check(cuda.cuLibraryGetModule(byref(module), library))
    cuda.expect("CUDA_ERROR_NOT_PERMITTED", cuda.cuModuleUnload(module))
    cuda.check(cuda.cuLibraryUnload(library))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuLibraryUnload(library))


def test_library_kernels_and_globals(cuda: Driver) -> None:
    library, count, address, size = c_void_p(), c_uint(), c_ulonglong(), c_size_t()
    cuda.check(cuda.cuLibraryLoadData(byref(library), ADD.encode(), None, None, 0, None, None, 0))
    cuda.check(cuda.cuLibraryGetKernelCount(byref(count), library))
    assert count.value == 3
    cuda.check(cuda.cuLibraryGetGlobal(byref(address), byref(size), library, b"table"))
    assert size.value == 16
    cuda.expect("CUDA_ERROR_NOT_FOUND", cuda.cuLibraryGetManaged(byref(address), byref(size), library, b"table"))
    kernel, value = c_void_p(), c_int()
    cuda.check(cuda.cuLibraryGetKernel(byref(kernel), library, b"add"))
    cuda.check(cuda.cuKernelGetAttribute(byref(value), cuda.CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel, 0))
    assert value.value == 1024
    cuda.expect("CUDA_ERROR_INVALID_DEVICE", cuda.cuKernelGetAttribute(byref(value), 0, kernel, 9))
    cuda.check(cuda.cuLibraryUnload(library))


def test_broken_library(cuda: Driver) -> None:
    library = c_void_p()
    cuda.expect("CUDA_ERROR_INVALID_PTX", cuda.cuLibraryLoadData(byref(library), BROKEN.encode(), None, None, 0, None, None, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLibraryLoadData(byref(library), None, None, None, 0, None, None, 0))


def test_link(cuda: Driver) -> None:
    state, image, size, module = c_void_p(), c_void_p(), c_size_t(), c_void_p()
    cuda.check(cuda.cuLinkCreate_v2(0, None, None, byref(state)))
    caller = (
        HEADER
        + """
.extern .func (.param .b32 r) twice(.param .b32 x);
.visible .entry use(.param .u64 a) {
  .reg .b64 %rd<2>; .reg .b32 %r<3>;
  ld.param.u64 %rd1, [a];
  ld.global.u32 %r1, [%rd1];
  { .param .b32 x; .param .b32 r;
    st.param.b32 [x], %r1;
    call.uni (r), twice, (x);
    ld.param.b32 %r2, [r]; }
  st.global.u32 [%rd1], %r2;
  ret;
}
"""
    )
    callee = (
        HEADER
        + """
.visible .func (.param .b32 r) twice(.param .b32 x) {
  .reg .b32 %r<2>;
  ld.param.b32 %r1, [x];
  add.u32 %r1, %r1, %r1;
  st.param.b32 [r], %r1;
  ret;
}
"""
    )
    for name, text in (("caller.ptx", caller), ("callee.ptx", callee)):
        data = text.encode() + b"\0"
        cuda.check(cuda.cuLinkAddData_v2(state, cuda.CU_JIT_INPUT_PTX, data, len(data), name.encode(), 0, None, None))
    cuda.check(cuda.cuLinkComplete(state, byref(image), byref(size)))
    assert size.value > 0
    cuda.check(cuda.cuModuleLoadData(byref(module), image))
    cuda.check(cuda.cuLinkDestroy(state))
    address = cuda.upload(struct.pack("<I", 21))
    cuda.check(cuda.launch(cuda.function(module.value or 0, "use"), 1, 1, c_ulonglong(address)))
    assert struct.unpack("<I", cuda.download(address, 4)) == (42,)


def test_link_errors(cuda: Driver) -> None:
    state, image, log = c_void_p(), c_void_p(), create_string_buffer(500)
    options = (c_uint * 2)(cuda.CU_JIT_ERROR_LOG_BUFFER, cuda.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
    values = (c_void_p * 2)(ctypes.addressof(log), 500)
    cuda.check(cuda.cuLinkCreate_v2(2, options, values, byref(state)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLinkAddData_v2(state, 1, None, 10, b"x", 0, None, None))
    cuda.expect("CUDA_ERROR_FILE_NOT_FOUND", cuda.cuLinkAddFile_v2(state, 1, b"/no/such.ptx", 0, None, None))
    cuda.check(cuda.cuLinkAddData_v2(state, 1, ADD.encode(), len(ADD), b"add.ptx", 0, None, None))
    cuda.check(cuda.cuLinkAddData_v2(state, 1, BROKEN.encode(), len(BROKEN), b"broken.ptx", 0, None, None))
    assert cuda.cuLinkComplete(state, byref(image), None) != 0
    assert b"broken.ptx:6:" in log.value
    cuda.check(cuda.cuLinkDestroy(state))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuLinkDestroy(None))
