"""Corrupt images cost their caller an `ImageError`, never another exception, and never much memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anywarp.image import ImageError, read
from tests.image.builders import container, elf, entry, ptx

FATBIN = container(
    entry(ptx("sm_80") * 5, 80, compression="zstd", name=b"a.cu"),
    entry(b"\x7fELF machine code", 80, kind=2),
    entry(ptx("sm_90") * 5, 90, compression="lz4"),
    entry(ptx("sm_100"), 100),
)
IMAGES = [FATBIN, elf({b".text": b"x" * 16, b".nv_fatbin": FATBIN + bytes(40) + FATBIN})]
RELAXED = settings(deadline=None, max_examples=400, derandomize=True)


def outcome(data: bytes) -> None:
    try:
        image = read(data)
    except ImageError as error:
        assert str(error)
        return
    for found in image.entries:
        try:
            found.data()
            if found.kind == "ptx":
                found.ptx()
        except ImageError as error:
            assert str(error)
    for capability in ((5, 0), (9, 0)):
        try:
            image.best_ptx(capability)
        except ImageError as error:
            assert str(error)


@RELAXED
@given(st.sampled_from(IMAGES), st.data())
def test_bytes_replaced(data: bytes, draws: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draws.draw(st.integers(1, 4))):
        changed[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    outcome(bytes(changed))


@RELAXED
@given(st.sampled_from(IMAGES), st.floats(0, 1))
def test_cut_off(data: bytes, where: float) -> None:
    outcome(data[: int(where * len(data))])


@RELAXED
@given(st.sampled_from(["elf", "fatbin", "ptx"]), st.binary(max_size=300))
def test_noise_behind_a_magic_number(kind: str, noise: bytes) -> None:
    outcome({"elf": b"\x7fELF\x02\x01\x01", "fatbin": FATBIN[:16], "ptx": b"."}[kind] + noise)


@pytest.mark.parametrize(
    "bomb",
    [
        container(entry(bytes(64 << 20), 80, compression="zstd", size=1000)),
        container(entry(b"small", 80, compression="zstd", size=200 << 20)),
        container(entry(b"small", 80, compression="lz4", size=200 << 20)),
    ],
    ids=["more than stated", "less than stated", "less than stated, lz4"],
)
def test_a_wrong_size_does_not_cost_its_memory(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageError):
            read(bomb).best_ptx((8, 0))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
