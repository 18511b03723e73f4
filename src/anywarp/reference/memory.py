"""Byte-addressed memory: regions at chosen addresses, every access checked.

One `Memory` is the generic address space of a launch. Global buffers are regions that the caller makes; the machine adds the module's
variables, and windows for shared and local memory and parameters while it runs. Little endian. An access must lie wholly
in one region; what lies in none is a MemoryFault.
"""

from __future__ import annotations

from bisect import bisect_right

from anywarp.reference.errors import MemoryFault

FIRST_ADDRESS = 0x1000_0000  # of allocations by the Memory itself
ALIGNMENT = 256


class Region:
    """`data` (a bytearray, or anything writable and as long, kept and not copied) at address `base`."""

    __slots__ = ("base", "data", "end", "name", "space", "writable")

    def __init__(self, base: int, data: bytearray, name: str = "", space: str = "global", writable: bool = True) -> None:
        self.base, self.data, self.name, self.space, self.writable = base, data, name, space, writable
        self.end = base + len(data)

    def __repr__(self) -> str:
        return f"Region({self.name!r}, {self.space}, {self.base:#x}..{self.end:#x})"


class Memory:
    """All regions, by address. They may not overlap."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._regions: list[Region] = []
        self._next = FIRST_ADDRESS
        self._last = Region(-1, bytearray())

    def add(self, region: Region) -> Region:
        """Makes a region accessible. Raises ValueError where it overlaps another."""
        at = bisect_right(self._bases, region.base)
        before = self._regions[at - 1] if at else None
        after = self._regions[at] if at < len(self._regions) else None
        if (before and before.end > region.base) or (after and region.end > after.base) or (before and before.base == region.base):
            raise ValueError(f"{region} overlaps {before if before and before.end > region.base else after}")
        self._bases.insert(at, region.base)
        self._regions.insert(at, region)
        return region

    def remove(self, region: Region) -> None:
        at = bisect_right(self._bases, region.base) - 1
        if at < 0 or self._regions[at] is not region:
            raise ValueError(f"{region} is not here")
        del self._bases[at], self._regions[at]
        if self._last is region:
            self._last = Region(-1, bytearray())

    def place(self, base: int, data: bytes | bytearray, name: str = "", space: str = "global", writable: bool = True) -> Region:
        """A region with the given contents (a bytearray is used itself, bytes are copied) at an address."""
        return self.add(Region(base, data if isinstance(data, bytearray) else bytearray(data), name, space, writable))

    def allocate(self, size_or_data: int | bytes | bytearray, name: str = "", alignment: int = ALIGNMENT) -> int:
        """The address of a new global region, zeroed or with contents. Addresses do not depend on anything but the calls before."""
        data = bytearray(size_or_data) if isinstance(size_or_data, int | bytes) else size_or_data
        base = -(-self._next // alignment) * alignment
        self._next = base + len(data) + ALIGNMENT  # a gap: running off an end must not reach the neighbour
        self.place(base, data, name or f"allocation {base:#x}")
        return base

    def find(self, address: int) -> Region | None:
        """The region that holds an address."""
        last = self._last
        if last.base <= address < last.end:
            return last
        at = bisect_right(self._bases, address) - 1
        if at >= 0 and address < self._regions[at].end:
            self._last = self._regions[at]
            return self._last
        return None

    def region(self, address: int, size: int) -> Region:
        """The region that holds `size` bytes at an address. Raises MemoryFault."""
        last = self._last
        if last.base <= address and address + size <= last.end:
            return last
        found = self.find(address)
        if found is None:
            raise MemoryFault("access to no allocation", address, size)
        if address + size > found.end:
            raise MemoryFault(f"access across the end of {found.name}", address, size)
        return found

    def read(self, address: int, size: int) -> bytes:
        region = self.region(address, size)
        at = address - region.base
        return bytes(region.data[at : at + size])

    def write(self, address: int, data: bytes | bytearray) -> None:
        region = self.region(address, len(data))
        if not region.writable:
            raise MemoryFault(f"store to read-only {region.name}", address, len(data))
        at = address - region.base
        region.data[at : at + len(data)] = data

    def load(self, address: int, size: int) -> int:
        """`size` bytes as a number. Raises MemoryFault, for a misaligned address too."""
        if address % size:
            raise MemoryFault("misaligned load", address, size)
        region = self.region(address, size)
        at = address - region.base
        return int.from_bytes(region.data[at : at + size], "little")

    def store(self, address: int, size: int, value: int) -> None:
        """The low `size` bytes of a number. Raises MemoryFault, for a misaligned address too."""
        if address % size:
            raise MemoryFault("misaligned store", address, size)
        region = self.region(address, size)
        if not region.writable:
            raise MemoryFault(f"store to read-only {region.name}", address, size)
        at = address - region.base
        region.data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def string(self, address: int, limit: int = 1 << 16) -> bytes:
        """The bytes up to a zero byte."""
        region = self.region(address, 1)
        at = address - region.base
        end = region.data.find(0, at, at + limit)
        if end < 0:
            raise MemoryFault("string without end", address, 1)
        return bytes(region.data[at:end])
