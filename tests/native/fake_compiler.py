"""A compiler child that behaves or misbehaves as its first argument says; the file in the second counts its starts."""

import os
import struct
import sys
import time

mode, counter = sys.argv[1], sys.argv[2]
fd = int(sys.argv[sys.argv.index("--fd") + 1])
with open(counter, "a") as f:
    f.write(f"{os.getpid()}\n")
with open(counter) as f:
    starts = len(f.readlines())


def read(n: int) -> bytes:
    data = b""
    while len(data) < n:
        piece = os.read(fd, n - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def reply(kind: int, payload: bytes) -> None:
    data = struct.pack("<II", len(payload), kind) + payload
    while data:
        data = data[os.write(fd, data) :]


def blob(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


loaded = set()
while True:
    size, kind = struct.unpack("<II", read(8))
    payload = read(size)
    digest = payload[4:36]
    if mode == "crash" or (mode == "crash-once" and starts == 1):
        os._exit(1)
    if mode == "hang":
        time.sleep(600)
    if mode == "garbage":
        os.write(fd, os.urandom(4096))
        time.sleep(600)
    if mode == "huge":
        os.write(fd, struct.pack("<II", 0xFFFFFFF0, 101))
        time.sleep(600)
    if mode == "partial":
        os.write(fd, struct.pack("<II", 100, 101) + b"x" * 50)
        os._exit(0)
    if mode == "wrong-type":
        reply(104, b"")
        continue
    if mode == "stdout":
        print("this goes to stderr")
    if mode == "environment" and kind == 1:
        fds = sorted(int(x) for x in os.listdir("/proc/self/fd"))
        variables = f"{os.environ.get('LD_PRELOAD')} {os.environ.get('ANYWARP_COMPILER_CHILD')}"
        text = f"{variables} {fds[:4]} {len(fds)} {os.getpgid(0) == os.getpid()}"
        reply(101, blob(text.encode()))
    elif kind == 1:
        loaded.add(digest)
        image_at = 36 + 36
        (n,) = struct.unpack_from("<I", payload, image_at)
        image = payload[image_at + 4 : image_at + 4 + n]
        if image == b"bad":
            reply(199, struct.pack("<I", 218) + blob(b"line 3, column 7: expected ';'"))
        else:
            reply(101, blob(image[::-1]))
    elif kind == 2:
        if digest not in loaded:
            reply(199, struct.pack("<I", 404) + blob(b"not loaded"))
        else:
            reply(102, blob(payload[72:]))
    elif kind == 3:
        reply(103, blob(b"linked"))
    elif kind == 4:
        loaded.discard(digest)
        reply(104, b"")
