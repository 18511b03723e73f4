"""Execution contexts, nodes of any type, external memory and graphics of libcudart, through ctypes."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_int, c_uint, c_ulonglong, c_void_p, create_string_buffer
from pathlib import Path

import pytest

from .conftest import Runtime

DEVICE_TO_HOST = 2


@pytest.fixture
def newest(library_dir: Path) -> Runtime:
    cuda = Runtime(library_dir, 13)
    cuda.cudaGetLastError()
    return cuda


def test_the_devices_own_execution_context(newest: Runtime) -> None:
    cuda, context, again, device, number, stream = newest, c_void_p(), c_void_p(), c_int(9), c_ulonglong(), c_void_p()
    cuda.expect("cudaErrorInvalidDevice", cuda.cudaDeviceGetExecutionCtx(byref(context), 99))
    cuda.check(cuda.cudaDeviceGetExecutionCtx(byref(context), 0))
    cuda.check(cuda.cudaDeviceGetExecutionCtx(byref(again), 0))
    assert context.value == again.value
    cuda.check(cuda.cudaExecutionCtxGetDevice(byref(device), context))
    cuda.check(cuda.cudaExecutionCtxGetId(context, byref(number)))
    assert (device.value, number.value > 0) == (0, True)
    cuda.check(cuda.cudaExecutionCtxStreamCreate(byref(stream), context, 1, 0))
    cuda.check(cuda.cudaStreamDestroy(stream))
    cuda.check(cuda.cudaExecutionCtxSynchronize(context))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaExecutionCtxDestroy(context))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaExecutionCtxGetDevice(byref(device), 12345))


def test_a_green_context(newest: Runtime) -> None:
    cuda, resource, description, context, stream = newest, newest.types["cudaDevResource"](), c_void_p(), c_void_p(), c_void_p()
    cuda.check(cuda.cudaDeviceGetDevResource(0, byref(resource), 1))
    sms, count, part = resource.sm.smCount, c_uint(1), newest.types["cudaDevResource"]()
    cuda.check(cuda.cudaDevSmResourceSplitByCount(byref(part), byref(count), byref(resource), None, 0, 1))
    cuda.check(cuda.cudaDevResourceGenerateDesc(byref(description), byref(part), 1))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaGreenCtxCreate(byref(context), description, 0, 1))
    cuda.check(cuda.cudaGreenCtxCreate(byref(context), description, 0, 0))
    cuda.check(cuda.cudaExecutionCtxGetDevResource(context, byref(resource), 1))
    assert (resource.sm.smCount, sms >= 1) == (1, True)
    cuda.check(cuda.cudaExecutionCtxStreamCreate(byref(stream), context, 0, 0))
    cuda.check(cuda.cudaStreamGetDevResource(stream, byref(resource), 1))
    assert resource.sm.smCount == 1
    pointer, back, event = c_void_p(), create_string_buffer(4), c_void_p()
    cuda.check(cuda.cudaMalloc(byref(pointer), 4))
    cuda.check(cuda.cudaMemsetAsync(pointer, 7, 4, stream))
    cuda.check(cuda.cudaEventCreateWithFlags(byref(event), 2))
    cuda.check(cuda.cudaExecutionCtxRecordEvent(context, event))
    cuda.check(cuda.cudaExecutionCtxWaitEvent(context, event))
    cuda.check(cuda.cudaExecutionCtxSynchronize(context))
    cuda.check(cuda.cudaMemcpy(back, pointer, 4, DEVICE_TO_HOST))
    assert back.raw == b"\x07" * 4
    cuda.check(cuda.cudaStreamDestroy(stream))
    cuda.check(cuda.cudaExecutionCtxDestroy(context))
    cuda.expect("cudaErrorInvalidValue", cuda.cudaExecutionCtxSynchronize(context))


def test_nodes_of_any_type(newest: Runtime) -> None:
    cuda, graph, node, second, pointer = newest, c_void_p(), c_void_p(), c_void_p(), c_void_p()
    cuda.check(cuda.cudaGraphCreate(byref(graph), 0))
    cuda.check(cuda.cudaMalloc(byref(pointer), 64))
    p = cuda.types["cudaGraphNodeParams"]()
    cuda.expect("cudaErrorInvalidValue", cuda.cudaGraphAddNode(byref(node), graph, None, None, 0, None))
    p.type = cuda.cudaGraphNodeTypeMemset
    p.memset.dst, p.memset.value, p.memset.elementSize, p.memset.width, p.memset.height = pointer, 0x21, 1, 64, 1
    cuda.check(cuda.cudaGraphAddNode(byref(node), graph, None, None, 0, byref(p)))
    target = create_string_buffer(64)
    copy = cuda.types["cudaGraphNodeParams"]()
    copy.type = cuda.cudaGraphNodeTypeMemcpy
    box = copy.memcpy.copyParams
    box.srcPtr.ptr, box.kind = pointer, DEVICE_TO_HOST
    cuda.expect("cudaErrorInvalidValue", cuda.cudaGraphAddNode(byref(second), graph, None, None, 0, byref(copy)))  # nowhere to
    box.dstPtr.ptr = ctypes.addressof(target)
    box.extent.width, box.extent.height, box.extent.depth = 64, 1, 1
    cuda.check(cuda.cudaGraphAddNode(byref(second), graph, (c_void_p * 1)(node), None, 1, byref(copy)))
    executable = c_void_p()
    cuda.check(cuda.cudaGraphInstantiate(byref(executable), graph, 0))
    cuda.check(cuda.cudaGraphLaunch(executable, None))
    cuda.check(cuda.cudaStreamSynchronize(None))
    assert target.raw == b"!" * 64
    back = cuda.types["cudaGraphNodeParams"]()
    cuda.check(cuda.cudaGraphNodeGetParams(node, byref(back)))
    assert (back.type, back.memset.dst, back.memset.value) == (p.type, pointer.value, 0x21)
    cuda.check(cuda.cudaGraphNodeGetParams(second, byref(back)))
    assert (back.memcpy.copyParams.extent.width, back.memcpy.copyParams.srcPtr.ptr) == (64, pointer.value)
    p.memset.value = 0x3F
    cuda.check(cuda.cudaGraphExecNodeSetParams(executable, node, byref(p)))
    cuda.check(cuda.cudaGraphNodeSetParams(node, byref(p)))
    cuda.check(cuda.cudaGraphLaunch(executable, None))
    cuda.check(cuda.cudaStreamSynchronize(None))
    assert target.raw == b"?" * 64


def test_pools_between_handles(newest: Runtime) -> None:
    cuda, properties, pool, handle, imported = newest, newest.types["cudaMemPoolProps"](), c_void_p(), c_int(), c_void_p()
    properties.allocType, properties.handleTypes, properties.location.type, properties.maxSize = 1, 1, 1, 1 << 20
    cuda.check(cuda.cudaMemPoolCreate(byref(pool), byref(properties)))
    cuda.check(cuda.cudaMemPoolExportToShareableHandle(byref(handle), pool, 1, 0))
    cuda.check(cuda.cudaMemPoolImportFromShareableHandle(byref(imported), handle.value, 1, 0))
    os.close(handle.value)


def test_semaphores_and_memory_of_the_system(cuda: Runtime) -> None:
    d, semaphore, memory, pointer = cuda.types["cudaExternalSemaphoreHandleDesc"](), c_void_p(), c_void_p(), c_void_p()
    d.type, d.handle.fd = 1, os.eventfd(1)
    cuda.check(cuda.cudaImportExternalSemaphore(byref(semaphore), byref(d)))
    kind = "cudaExternalSemaphoreWaitParams" + ("" if cuda.major == 13 else "_v1")
    cuda.check(cuda.cudaWaitExternalSemaphoresAsync((c_void_p * 1)(semaphore), byref(cuda.types[kind]()), 1, None))
    kind = kind.replace("Wait", "Signal")
    cuda.check(cuda.cudaSignalExternalSemaphoresAsync((c_void_p * 1)(semaphore), byref(cuda.types[kind]()), 1, None))
    cuda.check(cuda.cudaStreamSynchronize(None))
    cuda.check(cuda.cudaDestroyExternalSemaphore(semaphore))
    m, buffer = cuda.types["cudaExternalMemoryHandleDesc"](), cuda.types["cudaExternalMemoryBufferDesc"]()
    m.type, m.handle.fd, m.size = 1, os.memfd_create("x"), 4096
    os.ftruncate(m.handle.fd, 4096)
    cuda.check(cuda.cudaImportExternalMemory(byref(memory), byref(m)))
    buffer.size = 4096
    cuda.check(cuda.cudaExternalMemoryGetMappedBuffer(byref(pointer), memory, byref(buffer)))
    cuda.check(cuda.cudaMemset(pointer, 1, 4096))
    cuda.check(cuda.cudaFree(pointer))
    cuda.check(cuda.cudaDestroyExternalMemory(memory))


def test_textures_that_nobody_registered(library_dir: Path) -> None:
    cuda, offset = Runtime(library_dir, 11), c_ulonglong()
    reference, d = cuda.types["textureReference"](), cuda.cudaCreateChannelDesc(32, 0, 0, 0, 2)
    cuda.expect("cudaErrorInvalidTexture", cuda.cudaBindTexture(byref(offset), byref(reference), None, byref(d), 16))
    cuda.expect("cudaErrorInvalidTexture", cuda.cudaUnbindTexture(byref(reference)))
    cuda.expect("cudaErrorInvalidSurface", cuda.cudaBindSurfaceToArray(byref(cuda.types["surfaceReference"]()), None, byref(d)))


def test_without_opengl(cuda: Runtime) -> None:
    resource, count, devices = c_void_p(), c_uint(), (c_int * 2)()
    name = "cudaErrorInvalidGraphicsContext"
    cuda.expect(name, cuda.cudaGraphicsGLRegisterBuffer(byref(resource), 1, 0))
    cuda.expect(name, cuda.cudaGLGetDevices(byref(count), devices, 2, 1))
    cuda.expect("cudaErrorInvalidResourceHandle", cuda.cudaGraphicsUnregisterResource(None))
