"""What is in an image, and which PTX of it is taken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from anywarp.image import ImageError, NoPtxError, read
from anywarp.ptx import parse
from tests.image.builders import container, elf, entry, ptx

DATA = Path(__file__).parent / "data"
NVCC = shutil.which("nvcc")


def target_of(text: str) -> str:
    return parse(text).target


@pytest.mark.parametrize(
    "data",
    [
        ptx("sm_90a").rstrip(b"\0"),
        ptx("sm_90a"),
        b"\xef\xbb\xbf" + ptx("sm_90a"),
        b" \r\n\t" + ptx("sm_90a"),
        b"// \xff\n" + ptx("sm_90a"),
    ],
    ids=["plain", "NUL at the end", "byte order mark", "white space", "comment that is no UTF-8"],
)
def test_ptx_text(data: bytes) -> None:
    image = read(data)
    (found,) = image.entries
    assert (image.container, found.kind, found.architecture, found.suffix, found.target) == (
        "PTX",
        "ptx",
        90,
        "a",
        "compute_90a",
    )
    assert "\0" not in image.best_ptx((8, 0))
    assert target_of(image.best_ptx((8, 0))) == "sm_90a"


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_fatbin_entry(compression: str) -> None:
    image = read(container(entry(ptx("sm_80"), 80, compression=compression, flags=0x11, name=b"a.cu")))
    (found,) = image.entries
    assert (found.kind, found.architecture, found.compression, found.name) == ("ptx", 80, compression, "a.cu")
    assert found.data().rstrip(b"\0") == ptx("sm_80").rstrip(b"\0")
    assert found.flags & 0x11 == 0x11


@pytest.mark.parametrize(("mode", "compression"), [("none", "none"), ("speed", "lz4"), ("size", "zstd")])
def test_fatbin_of_nvcc(mode: str, compression: str) -> None:
    image = read((DATA / f"scale_{mode}.fatbin").read_bytes())
    assert [(e.target, e.compression) for e in image.entries] == [
        ("compute_80", compression),
        ("compute_90a", compression),
    ]
    assert target_of(image.best_ptx((8, 0))) == "sm_80"
    assert target_of(image.best_ptx((9, 0))) == "sm_90a"


@pytest.mark.parametrize(
    ("targets", "capability", "expected"),
    [
        (["sm_70", "sm_80", "sm_90"], (8, 0), "sm_80"),
        (["sm_70", "sm_80", "sm_90"], (8, 9), "sm_80"),
        (["sm_90", "sm_120", "sm_100"], (8, 0), "sm_90"),
        (["sm_120"], (8, 0), "sm_120"),
        (["sm_50", "sm_75"], (12, 0), "sm_75"),
        (["sm_90a", "sm_90"], (9, 0), "sm_90"),
        (["sm_100a", "sm_100f"], (8, 0), "sm_100f"),
    ],
)
def test_best_ptx(targets: list[str], capability: tuple[int, int], expected: str) -> None:
    flags = {"a": 0x100000, "f": 0x200000}
    entries = [entry(ptx(t), int(t[3:].rstrip("af")), flags=flags.get(t[-1], 0)) for t in targets]
    machine_code = entry(b"\x7fELF", 80, kind=2)
    assert target_of(read(container(machine_code, *entries)).best_ptx(capability)) == expected


def test_machine_code_only() -> None:
    image = read(container(entry(b"x", 80, kind=2), entry(b"x", 90, kind=2, flags=0x100000), entry(b"x", 80, kind=2)))
    with pytest.raises(NoPtxError) as caught:
        image.best_ptx((8, 0))
    assert str(caught.value) == (
        "fatbin holds machine code for sm_80, sm_90a and no PTX; rebuild with -gencode arch=compute_80,code=compute_80"
    )


def test_code_of_other_kinds_is_named() -> None:
    with pytest.raises(NoPtxError, match=r"fatbin holds code of kind 8 for sm_75 and no PTX; rebuild with .*code=compute_75"):
        read(container(entry(b"x", 75, kind=8))).best_ptx((8, 0))


def test_empty_fatbin() -> None:
    with pytest.raises(NoPtxError, match="fatbin holds no device code"):
        read(container()).best_ptx((8, 0))


@pytest.mark.parametrize(("abi_version", "flags"), [(7, 0x500550), (8, 0x6005004)])
def test_machine_code_elf(abi_version: int, flags: int) -> None:
    image = read(elf({}, machine=190, flags=flags, abi_version=abi_version))
    assert (image.container, image.entries[0].target) == ("cubin", "sm_80")
    with pytest.raises(NoPtxError, match="cubin holds machine code for sm_80 and no PTX"):
        image.best_ptx((8, 0))


def test_host_elf_with_several_fatbins() -> None:
    first, second, third = (container(entry(ptx(t), int(t[3:]))) for t in ("sm_75", "sm_80", "sm_90"))
    padding = bytes(4096 + 24)
    image = read(elf({b".text": b"code", b".nv_fatbin": first + padding + second + padding, b"__nv_relfatbin": third}))
    assert image.container == "ELF"
    assert [e.target for e in image.entries] == ["compute_75", "compute_80", "compute_90"]
    assert target_of(image.best_ptx((8, 0))) == "sm_80"


def test_bytes_behind_a_fatbin_are_not_read() -> None:
    assert len(read(container(entry(ptx("sm_80"), 80)) + b"something else").entries) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image begins with nothing"),
        (b"hello", "expected PTX text, a fatbin or an ELF file; the image begins with 68 65 6c 6c 6f"),
        (bytes.fromhex("b1436246") + bytes(20), "fatbin wrapper, which holds a pointer"),
        (
            container(entry(ptx("sm_80"), 80))[:60],
            "fatbin at offset 0 is cut off: its header says 160 bytes, 60 are there",
        ),
        (container()[:10], "fatbin at offset 0 is cut off in its header"),
        (container(b"12345678"), "fatbin entry at offset 16 is cut off in its header"),
        (container(bytes(64)), "fatbin entry at offset 16 has a header of 0 bytes"),
        (container(entry(b"x" * 8, 80)[:-8]), "it says 8 bytes of payload"),
        (b"\x7fELF", "ELF image is cut off in its header"),
        (b"\x7fELF\x01" + bytes(60), "not a 64-bit little-endian one"),
        (elf({b".nv_fatbin": b""})[:-1], "its section headers lie behind its end"),
    ],
)
def test_broken_image(data: bytes, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(data)
    assert message in str(caught.value)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("stated", [0, 5, 10_000, 1 << 40, (1 << 64) - 1])
def test_stated_size_must_be_the_decompressed_one(compression: str, stated: int) -> None:
    image = read(container(entry(ptx("sm_80") * 20, 80, compression=compression, size=stated)))
    with pytest.raises(ImageError):
        image.best_ptx((8, 0))


def test_unknown_compression() -> None:
    data = bytearray(container(entry(ptx("sm_80"), 80, compression="lz4")))
    data[16 + 41] = 0x10
    with pytest.raises(ImageError, match=r"compressed in an unknown way \(flags 0x1000\)"):
        read(bytes(data))


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed; it comes with the CUDA toolkit")
@pytest.mark.parametrize("options", [["-fatbin"], ["-fatbin", "-G"], ["-c"], ["-c", "-rdc=true"]], ids=" ".join)
@pytest.mark.parametrize("mode", ["none", "speed", "size"])
def test_what_nvcc_makes(options: list[str], mode: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    codes = [
        "arch=compute_80,code=[compute_80,sm_80]",
        "arch=compute_90a,code=[compute_90a,sm_90a]",
        "arch=compute_120,code=compute_120",
    ]
    command = [
        str(NVCC),
        *options,
        f"--compress-mode={mode}",
        *(f"-gencode={code}" for code in codes),
        str(DATA / "scale.cu"),
    ]
    subprocess.run([*command, "-o", str(output)], check=True)
    image = read(output.read_bytes())
    assert sorted(e.target for e in image.entries) == ["compute_120", "compute_80", "compute_90a", "sm_80", "sm_90a"]
    for capability, expected in {(8, 0): "sm_80", (9, 0): "sm_90a", (12, 0): "sm_120", (7, 5): "sm_80"}.items():
        assert target_of(image.best_ptx(capability)) == expected
    for found in image.entries:
        if found.kind == "elf":
            inner = read(found.data())
            assert (inner.container, inner.entries[0].architecture) == ("cubin", found.architecture)
