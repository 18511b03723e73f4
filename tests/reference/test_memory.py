"""Memory of the interpreter: regions, bounds, alignment."""

from __future__ import annotations

import pytest

from anywarp.reference import Memory, MemoryFault


def test_loads_and_stores_are_little_endian() -> None:
    memory = Memory()
    at = memory.allocate(b"\x01\x02\x03\x04\x05\x06\x07\x08")
    assert memory.load(at, 4) == 0x04030201
    memory.store(at + 4, 2, 0xABCDE)
    assert memory.read(at, 8) == b"\x01\x02\x03\x04\xde\xbc\x07\x08"


def test_an_access_across_the_end_faults_and_names_the_region() -> None:
    memory = Memory()
    at = memory.allocate(6, "small")
    with pytest.raises(MemoryFault, match="across the end of small"):
        memory.load(at + 4, 4)
    with pytest.raises(MemoryFault, match="no allocation"):
        memory.store(at + 8, 4, 0)
    with pytest.raises(MemoryFault, match="no allocation"):
        memory.load(at - 1, 1)


def test_a_misaligned_access_faults() -> None:
    memory = Memory()
    at = memory.allocate(16)
    with pytest.raises(MemoryFault, match="misaligned"):
        memory.load(at + 4, 8)


def test_read_only_regions_refuse_stores() -> None:
    memory = Memory()
    memory.place(0x1000, b"abcd", "constants", "const", writable=False)
    assert memory.load(0x1000, 4) == 0x64636261
    with pytest.raises(MemoryFault, match="read-only constants"):
        memory.store(0x1000, 4, 0)


def test_regions_may_touch_but_not_overlap() -> None:
    memory = Memory()
    memory.place(0x1000, bytes(16))
    memory.place(0x1010, bytes(16))
    for base, size in ((0x1000, 16), (0xFFF, 2), (0x101F, 2), (0x1008, 4)):
        with pytest.raises(ValueError, match="overlaps"):
            memory.place(base, bytes(size))


def test_a_caller_s_bytearray_is_used_itself() -> None:
    data = bytearray(8)
    memory = Memory()
    memory.place(0x2000, data)
    memory.store(0x2000, 4, 7)
    assert data[0] == 7


def test_a_removed_region_is_gone() -> None:
    memory = Memory()
    region = memory.place(0x2000, bytes(8))
    memory.load(0x2000, 4)
    memory.remove(region)
    with pytest.raises(MemoryFault):
        memory.load(0x2000, 4)
