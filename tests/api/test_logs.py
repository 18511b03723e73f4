"""The error log: what the driver says on stderr can be read back, and is told to callbacks."""

from __future__ import annotations

from ctypes import byref, c_size_t, c_uint, c_void_p, create_string_buffer
from pathlib import Path

import pytest

from .conftest import Driver


def fail(cuda: Driver) -> None:
    assert cuda.cuModuleLoadData(byref(c_void_p()), b".version 8.0\n.target sm_80\nnonsense\n") != 0


def dump(cuda: Driver, iterator: c_uint, room: int = 10_000) -> str:
    buffer, size = create_string_buffer(room), c_size_t(room)
    cuda.check(cuda.cuLogsDumpToMemory(byref(iterator), buffer, byref(size), 0))
    assert len(buffer.value) == size.value
    return buffer.value.decode()


@pytest.fixture
def iterator(cuda: Driver) -> c_uint:
    value = c_uint()
    cuda.check(cuda.cuLogsCurrent(byref(value), 0))
    return value


def test_messages_are_read_once(cuda: Driver, iterator: c_uint) -> None:
    assert dump(cuda, iterator) == ""
    fail(cuda)
    text = dump(cuda, iterator)
    assert text.count("\n") == 1 and "could not be loaded" in text
    assert dump(cuda, iterator) == ""


def test_file(cuda: Driver, iterator: c_uint, tmp_path: Path) -> None:
    fail(cuda)
    path = tmp_path / "log"
    cuda.check(cuda.cuLogsDumpToFile(byref(iterator), str(path).encode(), 0))
    assert "could not be loaded" in path.read_text()
    assert dump(cuda, iterator) == ""


def test_short_buffer_keeps_the_newest(cuda: Driver, iterator: c_uint) -> None:
    for _ in range(3):
        fail(cuda)
    whole = dump(cuda, c_uint(iterator.value))
    line = len(whole) // 3
    text = dump(cuda, c_uint(iterator.value), 2 * line)
    assert text.startswith("(older messages") and text.endswith(whole[-line:])
    buffer, size = create_string_buffer(10), c_size_t(10)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLogsDumpToMemory(byref(iterator), buffer, byref(size), 0))
    assert size.value == 0


def test_callbacks(cuda: Driver) -> None:
    seen: list[tuple[int, int, str]] = []

    def note(data: int, level: int, message: int, length: int) -> None:
        import ctypes

        seen.append((data, level, ctypes.string_at(message, length).decode()))

    callback, handle = cuda.types["CUlogsCallback"](note), c_void_p()
    cuda.check(cuda.cuLogsRegisterCallback(callback, 9, byref(handle)))
    fail(cuda)
    cuda.check(cuda.cuLogsUnregisterCallback(handle))
    fail(cuda)
    assert len(seen) == 1
    assert seen[0][:2] == (9, 0) and "could not be loaded" in seen[0][2]
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLogsUnregisterCallback(handle))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLogsRegisterCallback(cuda.types["CUlogsCallback"](), None, None))
