"""The compiler as a service: one request after the other over a socket, until the runtime hangs up.

An error in a program's PTX is an answer like any other; an error of the compiler itself is reported as one (CUDA_ERROR_INVALID_PTX with
the traceback's last lines), so that the host program lives.
"""

from __future__ import annotations

import socket
import traceback

from anywarp import image, pipeline, ptx
from anywarp.cache import store
from anywarp.codegen.llvm import CodegenError
from anywarp.compiler import manifest
from anywarp.compiler.protocol import Closed, Reader, Reply, Request, receive, send
from anywarp.ptx import tree

# CUresult values that answers carry (cuda.h)
INVALID_IMAGE, NO_BINARY_FOR_GPU, INVALID_PTX, NOT_FOUND, UNSUPPORTED = 200, 209, 218, 404, 801


class Service:
    """Holds the loaded modules by digest."""

    def __init__(self) -> None:
        self.modules: dict[bytes, tree.Module] = {}

    def answer(self, kind: int, payload: bytes) -> tuple[Reply, bytes]:
        """One request's reply."""
        reader = Reader(payload)
        try:
            if kind == Request.LOAD:
                return self._load(reader)
            if kind == Request.COMPILE:
                return self._compile(reader)
            if kind == Request.LINK:
                return self._link(reader)
            if kind == Request.UNLOAD:
                self.modules.pop(reader.data(), None)
                return Reply.DONE, b""
            return _error(UNSUPPORTED, f"the compiler knows no request {kind}")
        except image.NoPtxError as error:
            return _error(NO_BINARY_FOR_GPU, str(error))
        except image.ImageError as error:
            return _error(INVALID_IMAGE, str(error))
        except ptx.PtxError as error:
            return _error(INVALID_PTX, str(error))
        except CodegenError as error:
            return _error(INVALID_PTX, f"internal error of the compiler, please report it: LLVM refused its code: {str(error)[:2000]}")
        except Exception:
            tail = "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
            return _error(INVALID_PTX, f"internal error of the compiler, please report it:\n{tail}")

    def _load(self, reader: Reader) -> tuple[Reply, bytes]:
        digest, key, data, capability = reader.data(), reader.data(), reader.data(), reader.u32()
        text = pipeline.read_image(data, (capability // 10, capability % 10))
        module = pipeline.read_module(text)
        self.modules[digest] = module
        result = manifest.module_manifest(module)
        store.write("module", key, result)
        return Reply.MODULE, _bytes(result)

    def _compile(self, reader: Reader) -> tuple[Reply, bytes]:
        digest, key, entry, variant = reader.data(), reader.data(), reader.text(), reader.text()
        module = self.modules.get(digest)
        if module is None:
            return _error(NOT_FOUND, "the module is not loaded in this compiler")
        compiled = pipeline.compile_kernel(module, entry, variant)
        result = manifest.kernel_manifest(entry, compiled)
        store.write("kernel", key, result)
        return Reply.KERNEL, _bytes(result)

    def _link(self, reader: Reader) -> tuple[Reply, bytes]:
        from anywarp.compiler import link

        inputs = [(reader.text(), reader.data()) for _ in range(reader.u32())]
        capability, most_registers = reader.u32(), reader.u32()
        pair = (capability // 10, capability % 10)
        texts = [text for name, data in inputs for text in link.texts_of(name, data, pair)]
        return Reply.IMAGE, _bytes(link.link(texts, most_registers).encode())


def _bytes(payload: bytes) -> bytes:
    return manifest.Writer().data(payload).done()


def _error(code: int, message: str) -> tuple[Reply, bytes]:
    return Reply.ERROR, manifest.Writer().u32(code).text(message).done()


def serve(connection: socket.socket) -> None:
    """Answers until the other end hangs up."""
    service = Service()
    while True:
        try:
            kind, payload = receive(connection)
        except (Closed, ConnectionError):
            return
        send(connection, *service.answer(kind, payload))
