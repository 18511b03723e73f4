"""Graphs: built by hand, captured from streams, copied, changed, launched; the states of capture."""

from __future__ import annotations

import ctypes
import struct
import threading
from ctypes import byref, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

import pytest

from .conftest import Driver
from .kernels import ADD

NONE, ACTIVE, INVALIDATED = 0, 1, 2


def new_stream(cuda: Driver, flags: int = 1) -> int:
    made = c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(made), flags))
    return made.value or 0


def new_event(cuda: Driver) -> int:
    made = c_void_p()
    cuda.check(cuda.cuEventCreate(byref(made), 2))
    return made.value or 0


def new_graph(cuda: Driver) -> int:
    made = c_void_p()
    cuda.check(cuda.cuGraphCreate(byref(made), 0))
    return made.value or 0


def fill_params(cuda: Driver, address: int, value: int, count: int = 1) -> Any:
    p = cuda.new("CUDA_MEMSET_NODE_PARAMS")
    p.dst, p.pitch, p.value, p.elementSize, p.width, p.height = address, 0, value, 4, count, 1
    return p


def add_fill(cuda: Driver, graph: int, after: list[int], address: int, value: int) -> int:
    node = c_void_p()
    dependencies = (c_void_p * max(len(after), 1))(*after)
    p = fill_params(cuda, address, value)
    cuda.check(cuda.cuGraphAddMemsetNode(byref(node), graph, dependencies, len(after), byref(p), cuda.context))
    return node.value or 0


def instantiate(cuda: Driver, graph: int) -> int:
    made = c_void_p()
    cuda.check(cuda.cuGraphInstantiateWithFlags(byref(made), graph, 0))
    return made.value or 0


def run(cuda: Driver, executable: int) -> None:
    cuda.check(cuda.cuGraphLaunch(executable, None))
    cuda.check(cuda.cuStreamSynchronize(None))


def word(cuda: Driver, address: int) -> int:
    return int(struct.unpack("<I", cuda.download(address, 4))[0])


def status(cuda: Driver, stream: int | None) -> int:
    value = c_int(-1)
    cuda.check(cuda.cuStreamIsCapturing(stream, byref(value)))
    return value.value


def test_argument_checks(cuda: Driver) -> None:
    graph, made = new_graph(cuda), c_void_p()
    other = new_graph(cuda)
    foreign = add_fill(cuda, other, [], cuda.alloc(4), 0)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphCreate(byref(made), 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphCreate(None, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphDestroy(None))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddEmptyNode(byref(made), graph, (c_void_p * 1)(foreign), 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddEmptyNode(byref(made), graph, None, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddHostNode(byref(made), graph, None, 0, byref(cuda.new("CUDA_HOST_NODE_PARAMS"))))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphInstantiateWithFlags(byref(made), graph, 0x100))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphLaunch(None, None))


def test_order_follows_dependencies(cuda: Driver) -> None:
    graph, address = new_graph(cuda), cuda.alloc(4)
    last = add_fill(cuda, graph, [], address, 1)
    first = add_fill(cuda, graph, [], address, 2)
    arrays = (c_void_p * 1)(first), (c_void_p * 1)(last)
    cuda.check(cuda.cuGraphAddDependencies(graph, *arrays, 1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddDependencies(graph, *arrays, 1))  # there already
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddDependencies(graph, *reversed(arrays), 1))  # a cycle
    run(cuda, instantiate(cuda, graph))
    assert word(cuda, address) == 1
    cuda.check(cuda.cuGraphRemoveDependencies(graph, *arrays, 1))
    run(cuda, instantiate(cuda, graph))
    assert word(cuda, address) == 2


def test_queries(cuda: Driver) -> None:
    graph, address = new_graph(cuda), cuda.alloc(4)
    a = add_fill(cuda, graph, [], address, 1)
    b = add_fill(cuda, graph, [a], address, 2)
    c = add_fill(cuda, graph, [a, b], address, 3)
    count = c_size_t()
    cuda.check(cuda.cuGraphGetNodes(graph, None, byref(count)))
    assert count.value == 3
    nodes = (c_void_p * 5)(*[7] * 5)
    count.value = 5
    cuda.check(cuda.cuGraphGetNodes(graph, nodes, byref(count)))
    assert (list(nodes), count.value) == ([a, b, c, None, None], 3)
    cuda.check(cuda.cuGraphGetRootNodes(graph, None, byref(count)))
    assert count.value == 1
    sources, targets = (c_void_p * 3)(), (c_void_p * 3)()
    count.value = 3
    cuda.check(cuda.cuGraphGetEdges(graph, sources, targets, byref(count)))
    assert set(zip(sources, targets)) == {(a, b), (a, c), (b, c)}
    kind = c_uint()
    cuda.check(cuda.cuGraphNodeGetType(c, byref(kind)))
    assert kind.value == cuda.CU_GRAPH_NODE_TYPE_MEMSET
    cuda.check(cuda.cuGraphDestroyNode(b))
    cuda.check(cuda.cuGraphGetEdges(graph, None, None, byref(count)))
    assert count.value == 1
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphNodeGetType(b, byref(kind)))


def test_kernel_nodes(cuda: Driver) -> None:
    graph, node, address = new_graph(cuda), c_void_p(), cuda.upload(bytes(64))
    p = cuda.new("CUDA_KERNEL_NODE_PARAMS")
    p.func = cuda.function(cuda.module(ADD), "add")
    p.gridDimX = p.gridDimY = p.gridDimZ = p.blockDimY = p.blockDimZ = 1
    p.blockDimX = 16
    value = c_uint(5)
    arguments = (c_ulonglong(address), c_uint(16), value)
    pointers = (c_void_p * 3)(*(ctypes.addressof(x) for x in arguments))
    p.kernelParams = ctypes.cast(pointers, c_void_p)
    cuda.check(cuda.cuGraphAddKernelNode_v2(byref(node), graph, None, 0, byref(p)))
    value.value = 1000  # parameters were copied
    executable = instantiate(cuda, graph)
    run(cuda, executable)
    run(cuda, executable)
    assert word(cuda, address) == 10
    back = cuda.new("CUDA_KERNEL_NODE_PARAMS")
    cuda.check(cuda.cuGraphKernelNodeGetParams_v2(node, byref(back)))
    assert (back.func, back.blockDimX) == (p.func, 16)
    third = ctypes.cast(back.kernelParams, ctypes.POINTER(c_void_p))[2]
    assert c_uint.from_address(third or 0).value == 5
    value.value = 1
    cuda.check(cuda.cuGraphExecKernelNodeSetParams_v2(executable, node, byref(p)))
    run(cuda, executable)
    assert word(cuda, address) == 11
    p.gridDimX = 0
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddKernelNode_v2(byref(node), graph, None, 0, byref(p)))


def test_disabled_nodes_do_nothing(cuda: Driver) -> None:
    graph, address = new_graph(cuda), cuda.alloc(4)
    first = add_fill(cuda, graph, [], address, 1)
    second = add_fill(cuda, graph, [first], address, 2)
    executable, enabled = instantiate(cuda, graph), c_uint()
    cuda.check(cuda.cuGraphNodeSetEnabled(executable, second, 0))
    cuda.check(cuda.cuGraphNodeGetEnabled(executable, second, byref(enabled)))
    assert enabled.value == 0
    run(cuda, executable)
    assert word(cuda, address) == 1


def test_clone_and_child_graphs_are_copies(cuda: Driver) -> None:
    graph, clone, twin, node, address = new_graph(cuda), c_void_p(), c_void_p(), c_void_p(), cuda.alloc(4)
    original = add_fill(cuda, graph, [], address, 1)
    cuda.check(cuda.cuGraphClone(byref(clone), graph))
    cuda.check(cuda.cuGraphNodeFindInClone(byref(twin), original, clone))
    parent = new_graph(cuda)
    cuda.check(cuda.cuGraphAddChildGraphNode(byref(node), parent, None, 0, graph))
    cuda.check(cuda.cuGraphMemsetNodeSetParams(original, byref(fill_params(cuda, address, 2))))
    for which in (clone.value or 0, parent):
        run(cuda, instantiate(cuda, graph))
        assert word(cuda, address) == 2
        run(cuda, instantiate(cuda, which))
        assert word(cuda, address) == 1
    cuda.check(cuda.cuGraphDestroy(graph))
    run(cuda, instantiate(cuda, parent))


def test_update(cuda: Driver) -> None:
    address = cuda.alloc(4)
    graphs = [new_graph(cuda) for _ in range(3)]
    for value, graph in enumerate(graphs):
        add_fill(cuda, graph, [], address, value)
    add_fill(cuda, graphs[2], [], address, 9)
    executable, info = instantiate(cuda, graphs[0]), cuda.new("CUgraphExecUpdateResultInfo")
    cuda.check(cuda.cuGraphExecUpdate_v2(executable, graphs[1], byref(info)))
    run(cuda, executable)
    assert word(cuda, address) == 1
    cuda.expect("CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", cuda.cuGraphExecUpdate_v2(executable, graphs[2], byref(info)))
    assert info.result == cuda.CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED


def test_memory_nodes(cuda: Driver) -> None:
    graph, node, p = new_graph(cuda), c_void_p(), cuda.new("CUDA_MEM_ALLOC_NODE_PARAMS")
    p.poolProps.allocType, p.poolProps.location.type, p.bytesize = 1, 1, 4096
    cuda.check(cuda.cuGraphAddMemAllocNode(byref(node), graph, None, 0, byref(p)))
    assert p.dptr
    fill = add_fill(cuda, graph, [node.value or 0], p.dptr, 0x55)
    copy, target = cuda.new("CUDA_MEMCPY3D"), cuda.alloc(4)
    copy.srcMemoryType = copy.dstMemoryType = 2
    copy.srcDevice, copy.dstDevice, copy.WidthInBytes, copy.Height, copy.Depth = p.dptr, target, 4, 1, 1
    copied = c_void_p()
    cuda.check(cuda.cuGraphAddMemcpyNode(byref(copied), graph, (c_void_p * 1)(fill), 1, byref(copy), cuda.context))
    cuda.check(cuda.cuGraphAddMemFreeNode(byref(node), graph, (c_void_p * 1)(copied), 1, p.dptr))
    executable = instantiate(cuda, graph)
    for _ in range(3):
        run(cuda, executable)
    assert word(cuda, target) == 0x55
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuGraphDestroyNode(node))


def test_capture(cuda: Driver) -> None:
    stream, graph, address, target = new_stream(cuda), c_void_p(), cuda.upload(bytes(64)), cuda.upload(bytes(64))
    add = cuda.function(cuda.module(ADD), "add")
    assert status(cuda, stream) == NONE
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    assert status(cuda, stream) == ACTIVE
    cuda.check(cuda.cuMemsetD32Async(address, 40, 16, stream))
    cuda.check(cuda.launch(add, 1, 16, c_ulonglong(address), c_uint(16), c_uint(2), stream=stream))
    cuda.check(cuda.cuMemcpyDtoDAsync_v2(target, address, 64, stream))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))
    assert status(cuda, stream) == NONE
    assert word(cuda, address) == 0  # nothing has run
    executable = instantiate(cuda, graph.value or 0)
    run(cuda, executable)
    assert word(cuda, target) == 42
    count = c_size_t()
    cuda.check(cuda.cuGraphGetEdges(graph, None, None, byref(count)))
    assert count.value == 2


def test_capture_info(cuda: Driver) -> None:
    address = cuda.alloc(4)
    stream, state, identity = new_stream(cuda), c_int(), c_ulonglong()
    graph, nodes, count = c_void_p(), c_void_p(), c_size_t()
    cuda.check(cuda.cuStreamGetCaptureInfo_v2(stream, byref(state), byref(identity), byref(graph), byref(nodes), byref(count)))
    assert state.value == NONE
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, stream))
    cuda.check(cuda.cuStreamGetCaptureInfo_v3(stream, byref(state), byref(identity), byref(graph), byref(nodes), None, byref(count)))
    assert (state.value, count.value) == (ACTIVE, 1)
    assert identity.value > 0 and graph.value and nodes.value
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))


def test_a_stream_that_nobody_waits_for_spoils_the_capture_when_it_is_destroyed(cuda: Driver) -> None:
    first, second, fork, graph = new_stream(cuda), new_stream(cuda), new_event(cuda), c_void_p()
    address = cuda.alloc(4)
    cuda.check(cuda.cuStreamBeginCapture_v2(first, 0))
    cuda.check(cuda.cuEventRecord(fork, first))
    cuda.check(cuda.cuStreamWaitEvent(second, fork, 0))
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, second))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_UNJOINED", cuda.cuStreamDestroy_v2(second))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", cuda.cuStreamEndCapture(first, byref(graph)))


@pytest.mark.parametrize("destroys", [False, True])
def test_capture_over_two_streams(cuda: Driver, destroys: bool) -> None:
    first, second, fork, join, graph = new_stream(cuda), new_stream(cuda), new_event(cuda), new_event(cuda), c_void_p()
    a, b = cuda.upload(bytes(4)), cuda.upload(bytes(4))
    cuda.check(cuda.cuStreamBeginCapture_v2(first, 0))
    cuda.check(cuda.cuMemsetD32Async(a, 1, 1, first))
    cuda.check(cuda.cuEventRecord(fork, first))
    cuda.check(cuda.cuStreamWaitEvent(second, fork, 0))
    assert status(cuda, second) == ACTIVE
    cuda.expect("CUDA_ERROR_CAPTURED_EVENT", cuda.cuEventQuery(fork))
    cuda.check(cuda.cuMemcpyDtoDAsync_v2(b, a, 4, second))
    cuda.check(cuda.cuEventRecord(join, second))
    cuda.check(cuda.cuStreamWaitEvent(first, join, 0))
    if destroys:
        cuda.check(cuda.cuStreamDestroy_v2(second))
        assert status(cuda, first) == ACTIVE
    cuda.check(cuda.cuStreamEndCapture(first, byref(graph)))
    assert destroys or status(cuda, second) == NONE
    run(cuda, instantiate(cuda, graph.value or 0))
    assert word(cuda, b) == 1


@pytest.mark.parametrize("call", ["cuStreamSynchronize", "cuStreamQuery"])
def test_waiting_in_a_capture_invalidates_it(cuda: Driver, call: str) -> None:
    address = cuda.alloc(4)
    stream, graph = new_stream(cuda), c_void_p(7)
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", getattr(cuda, call)(stream))
    assert status(cuda, stream) == INVALIDATED
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", cuda.cuMemsetD32Async(address, 1, 1, stream))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", cuda.cuStreamEndCapture(stream, byref(graph)))
    assert graph.value is None
    assert status(cuda, stream) == NONE
    cuda.check(cuda.cuStreamSynchronize(stream))


def test_capture_errors(cuda: Driver) -> None:
    address = cuda.alloc(4)
    stream, other, graph, event = new_stream(cuda), new_stream(cuda), c_void_p(), new_event(cuda)
    cuda.expect("CUDA_ERROR_ILLEGAL_STATE", cuda.cuStreamEndCapture(stream, byref(graph)))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", cuda.cuStreamBeginCapture_v2(None, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuStreamBeginCapture_v2(stream, 9))
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.expect("CUDA_ERROR_ILLEGAL_STATE", cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.check(cuda.cuEventRecord(event, stream))
    cuda.check(cuda.cuStreamWaitEvent(other, event, 0))
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, other))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_UNJOINED", cuda.cuStreamEndCapture(stream, byref(graph)))
    # Work that was enqueued outside cannot be waited for.
    cuda.check(cuda.cuEventRecord(event, other))
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_ISOLATION", cuda.cuStreamWaitEvent(stream, event, 0))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", cuda.cuStreamEndCapture(stream, byref(graph)))


def test_legacy_default_stream_is_closed_while_a_blocking_stream_captures(cuda: Driver) -> None:
    stream, graph, address = new_stream(cuda, 0), c_void_p(), cuda.alloc(4)
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 2))
    cuda.expect("CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", cuda.cuMemsetD32Async(address, 1, 1, None))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))
    cuda.check(cuda.cuMemsetD32Async(address, 1, 1, None))


def test_capture_ends_in_its_thread(cuda: Driver) -> None:
    stream, results, graph = new_stream(cuda), [], c_void_p()

    def end() -> None:
        cuda.cuCtxSetCurrent(cuda.context)
        results.append(cuda.name_of(cuda.cuStreamEndCapture(stream, byref(graph))))

    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 1))
    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert results == ["CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"]
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))


def test_capture_mode_of_the_thread(cuda: Driver) -> None:
    mode = c_int(2)
    cuda.check(cuda.cuThreadExchangeStreamCaptureMode(byref(mode)))
    assert mode.value == 0
    cuda.check(cuda.cuThreadExchangeStreamCaptureMode(byref(mode)))
    assert mode.value == 2
    mode.value = 7
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuThreadExchangeStreamCaptureMode(byref(mode)))


def test_user_objects_go_with_their_graph(cuda: Driver) -> None:
    graph, made, gone = new_graph(cuda), c_void_p(), []
    destroy = cuda.types["CUhostFn"](lambda data: gone.append(data))
    cuda.check(cuda.cuUserObjectCreate(byref(made), 55, destroy, 1, 1))
    cuda.check(cuda.cuGraphRetainUserObject(graph, made, 1, 1))  # the graph takes the reference over
    assert gone == []
    cuda.check(cuda.cuGraphDestroy(graph))
    assert gone == [55]


def test_graph_memory_is_counted(cuda: Driver) -> None:
    graph, node, p, used = new_graph(cuda), c_void_p(), cuda.new("CUDA_MEM_ALLOC_NODE_PARAMS"), c_ulonglong()
    before = c_ulonglong()
    cuda.check(cuda.cuDeviceGetGraphMemAttribute(0, cuda.CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, byref(before)))
    p.poolProps.allocType, p.poolProps.location.type, p.bytesize = 1, 1, 12345
    cuda.check(cuda.cuGraphAddMemAllocNode(byref(node), graph, None, 0, byref(p)))
    cuda.check(cuda.cuDeviceGetGraphMemAttribute(0, cuda.CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value - before.value == 12345
    executable = instantiate(cuda, graph)
    cuda.check(cuda.cuGraphDestroy(graph))
    cuda.check(cuda.cuDeviceGetGraphMemAttribute(0, cuda.CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value - before.value == 12345  # the executable graph holds it
    cuda.check(cuda.cuGraphExecDestroy(executable))
    cuda.check(cuda.cuDeviceGetGraphMemAttribute(0, cuda.CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, byref(used)))
    assert used.value == before.value


def test_drawing(cuda: Driver, tmp_path: Path) -> None:
    graph, path, node = new_graph(cuda), tmp_path / "graph.dot", c_void_p()
    first = add_fill(cuda, graph, [], cuda.alloc(4), 1)
    cuda.check(cuda.cuGraphAddEmptyNode(byref(node), graph, (c_void_p * 1)(first), 1))
    cuda.check(cuda.cuGraphDebugDotPrint(graph, str(path).encode(), 1))
    text = path.read_text()
    assert "0: memset" in text and "1: empty" in text and '"0" -> "1"' in text
    cuda.expect("CUDA_ERROR_OPERATING_SYSTEM", cuda.cuGraphDebugDotPrint(graph, b"/no/such/folder/x.dot", 0))


def test_parameters_of_any_node(cuda: Driver) -> None:
    graph, address, p = new_graph(cuda), cuda.alloc(4), cuda.new("CUgraphNodeParams")
    node = add_fill(cuda, graph, [], address, 42)
    cuda.check(cuda.cuGraphNodeGetParams(node, byref(p)))
    assert (p.type, p.memset.dst, p.memset.value) == (cuda.CU_GRAPH_NODE_TYPE_MEMSET, address, 42)
    p.memset.value = 43
    cuda.check(cuda.cuGraphNodeSetParams(node, byref(p)))
    run(cuda, instantiate(cuda, graph))
    assert word(cuda, address) == 43
    made = c_void_p()
    p.memset.value = 44
    cuda.check(cuda.cuGraphAddNode_v2(byref(made), graph, (c_void_p * 1)(node), None, 1, byref(p)))
    run(cuda, instantiate(cuda, graph))
    assert word(cuda, address) == 44
    p.type = 99
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuGraphAddNode_v2(byref(made), graph, None, None, 0, byref(p)))


def test_allocating_spoils_captures_that_are_not_relaxed(cuda: Driver) -> None:
    stream, graph, address, mode = new_stream(cuda), c_void_p(), c_ulonglong(), c_int(2)
    strict = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 2))  # relaxed
    cuda.check(cuda.cuMemAlloc_v2(byref(address), 64))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))
    for kind in (0, 1):  # global, this thread's
        cuda.check(cuda.cuStreamBeginCapture_v2(stream, kind))
        cuda.expect(strict, cuda.cuMemFree_v2(address))
        assert status(cuda, stream) == INVALIDATED
        cuda.expect("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", cuda.cuStreamEndCapture(stream, byref(graph)))
    for kind, expected in ((0, strict), (1, "CUDA_SUCCESS")):  # another thread sees global captures only
        seen: list[int] = []

        def elsewhere(seen: list[int] = seen) -> None:
            other = c_ulonglong()
            cuda.check(cuda.cuCtxSetCurrent(cuda.context))
            seen.append(cuda.cuMemAlloc_v2(byref(other), 64))

        cuda.check(cuda.cuStreamBeginCapture_v2(stream, kind))
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert [cuda.name_of(r) for r in seen] == [expected]
        cuda.cuStreamEndCapture(stream, byref(graph))
    cuda.check(cuda.cuThreadExchangeStreamCaptureMode(byref(mode)))  # this thread knows what it does
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.check(cuda.cuMemFree_v2(address))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))
    cuda.check(cuda.cuThreadExchangeStreamCaptureMode(byref(mode)))


def test_a_graph_is_captured_again(cuda: Driver) -> None:
    """The same nodes in the same order: what changed is told and taken over; memory keeps its address; another topology fails."""
    stream, graph, a = cuda.new("CUstream"), cuda.new("CUgraph"), cuda.alloc(64)
    cuda.check(cuda.cuStreamCreate(ctypes.byref(stream), 1))

    def work(value: int, fills: int = 1, size: int = 256) -> int:
        temporary = cuda.new("CUdeviceptr")
        result = int(cuda.cuMemAllocAsync(ctypes.byref(temporary), size, stream))
        for _ in range(fills):
            result = result or cuda.cuMemsetD8Async(a, value, 64, stream)
        result = result or cuda.cuMemcpyDtoDAsync_v2(temporary, a, 64, stream)
        result = result or cuda.cuMemFreeAsync(temporary, stream)
        addresses.append(temporary.value)
        return int(result)

    addresses: list[int] = []
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.check(work(1))
    cuda.check(cuda.cuStreamEndCapture(stream, ctypes.byref(graph)))

    told: list[tuple[int, int, int]] = []
    answer = [0]

    @cuda.types["CUgraphRecaptureCallback"]
    def callback(data: int, node: int, before: int, after: int, status: int) -> int:
        old, new = (ctypes.cast(p, ctypes.POINTER(cuda.types["CUgraphNodeParams"]))[0] for p in (before, after))
        told.append((old.memset.value, new.memset.value, status))
        return answer[0]

    def again(*arguments: int) -> int:
        cuda.check(cuda.cuStreamBeginRecaptureToGraph(stream, 0, graph, callback, None))
        result, same = work(*arguments), cuda.new("CUgraph")
        ended = int(cuda.cuStreamEndCapture(stream, ctypes.byref(same)))
        assert ended != 0 or same.value == graph.value
        return result or ended

    cuda.check(again(1))
    assert told == [] and addresses[0] == addresses[1]
    cuda.check(again(9))
    assert told == [(1, 9, 0)]
    executable = cuda.new("CUgraphExec")
    cuda.check(cuda.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, 0))
    cuda.check(cuda.cuGraphLaunch(executable, stream))
    cuda.check(cuda.cuStreamSynchronize(stream))
    assert cuda.download(a, 64) == b"\x09" * 64
    answer[0] = 1
    assert again(5) == 1  # what the callback said
    for arguments in ((9, 2), (9, 0), (9, 1, 4096)):
        cuda.expect("CUDA_ERROR_GRAPH_RECAPTURE_FAILURE", again(*arguments))
