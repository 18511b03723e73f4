"""Messages between the runtime and the compiler: this end. The format is in docs/architecture.md section 8; the other end is
`src/runtime/exec/protocol.h`."""

from __future__ import annotations

import enum
import socket
import struct

MAX_MESSAGE = 1 << 30  # bytes; more is nonsense


class Request(enum.IntEnum):
    LOAD = 1
    COMPILE = 2
    LINK = 3
    UNLOAD = 4


class Reply(enum.IntEnum):
    MODULE = 101
    KERNEL = 102
    IMAGE = 103
    DONE = 104
    ERROR = 199


class Closed(Exception):
    """The other end hung up."""


class Reader:
    """Takes fields from a payload. Raises ValueError where it is too short."""

    def __init__(self, payload: bytes) -> None:
        self.payload, self.at = payload, 0

    def u32(self) -> int:
        if self.at + 4 > len(self.payload):
            raise ValueError("the message is too short")
        value: int = struct.unpack_from("<I", self.payload, self.at)[0]
        self.at += 4
        return value

    def data(self) -> bytes:
        """`bytes` of the protocol: a u32 length and the bytes."""
        size = self.u32()
        if self.at + size > len(self.payload):
            raise ValueError("the message is too short")
        self.at += size
        return self.payload[self.at - size : self.at]

    def text(self) -> str:
        """`str` of the protocol."""
        return self.data().decode("utf-8", "replace")


def receive(connection: socket.socket) -> tuple[int, bytes]:
    """The next message: type and payload. Raises Closed."""
    size, kind = struct.unpack("<II", _exactly(connection, 8))
    if size > MAX_MESSAGE:
        raise ValueError(f"a message of {size} bytes")
    return kind, _exactly(connection, size)


def send(connection: socket.socket, kind: int, payload: bytes) -> None:
    connection.sendall(struct.pack("<II", len(payload), kind) + payload)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise Closed
        parts += part
    return bytes(parts)
