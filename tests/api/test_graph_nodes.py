"""Nodes of graphs beyond kernels and copies: memory operations, external semaphores, conditions; edges; memory that graphs hold."""

from __future__ import annotations

import ctypes
import os
import struct
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_ulonglong, c_void_p
from typing import Any

import pytest

from .conftest import Driver
from .kernels import HEADER
from .test_graphs import add_fill, instantiate, new_graph, new_stream, run, status, word

# count(a, limit, handle): a[0] += 1; the condition is whether a[0] < limit. set(handle, value).
_KERNELS = (
    HEADER
    + """
.extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);
.visible .entry count(.param .u64 a, .param .u32 limit, .param .u64 handle)
{
  .reg .b64 %d<2>;  .reg .b32 %r<4>;  .reg .pred %p;
  ld.param.u64 %d0, [a];
  ld.param.u32 %r0, [limit];
  ld.param.u64 %d1, [handle];
  ld.global.u32 %r1, [%d0];
  add.u32 %r1, %r1, 1;
  st.global.u32 [%d0], %r1;
  setp.lt.u32 %p, %r1, %r0;
  selp.u32 %r2, 1, 0, %p;
  { .param .b64 h; st.param.b64 [h], %d1; .param .b32 v; st.param.b32 [v], %r2; call.uni cudaGraphSetConditional, (h, v); }
  ret;
}
.visible .entry set(.param .u64 handle, .param .u32 value)
{
  .reg .b64 %d;  .reg .b32 %r;
  ld.param.u64 %d, [handle];
  ld.param.u32 %r, [value];
  { .param .b64 h; st.param.b64 [h], %d; .param .b32 v; st.param.b32 [v], %r; call.uni cudaGraphSetConditional, (h, v); }
  ret;
}
"""
)
IF, WHILE, SWITCH = range(3)


def condition(cuda: Driver, graph: int, default: int = 0, flags: int = 1) -> int:
    handle = c_uint64()
    cuda.check(cuda.cuGraphConditionalHandleCreate(byref(handle), graph, None, default, flags))
    return handle.value


def add_conditional(cuda: Driver, graph: int, after: list[int], handle: int, kind: int, size: int = 1) -> tuple[int, list[int]]:
    """The node and the graphs of its bodies."""
    node, p = c_void_p(), cuda.new("CUgraphNodeParams")
    p.type = cuda.CU_GRAPH_NODE_TYPE_CONDITIONAL
    p.conditional.handle, p.conditional.type, p.conditional.size = handle, kind, size
    cuda.check(cuda.cuGraphAddNode_v2(byref(node), graph, (c_void_p * max(1, len(after)))(*after), None, len(after), byref(p)))
    return node.value or 0, [b or 0 for b in (c_void_p * size).from_address(p.conditional.phGraph_out)]


def add_kernel(cuda: Driver, graph: int, after: list[int], name: str, *arguments: Any) -> int:
    node, p = c_void_p(), cuda.new("CUDA_KERNEL_NODE_PARAMS")
    p.func = cuda.function(cuda.module(_KERNELS), name)
    p.gridDimX = p.gridDimY = p.gridDimZ = p.blockDimX = p.blockDimY = p.blockDimZ = 1
    pointers = (c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
    p.kernelParams = ctypes.cast(pointers, c_void_p)
    cuda.check(cuda.cuGraphAddKernelNode_v2(byref(node), graph, (c_void_p * max(1, len(after)))(*after), len(after), byref(p)))
    return node.value or 0


def test_conditional_argument_checks(cuda: Driver) -> None:
    graph, handle, node, p = new_graph(cuda), c_uint64(), c_void_p(), cuda.new("CUgraphNodeParams")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphConditionalHandleCreate(None, graph, None, 0, 0))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphConditionalHandleCreate(byref(handle), graph, None, 0, 2))
    p.type = cuda.CU_GRAPH_NODE_TYPE_CONDITIONAL
    p.conditional.handle, p.conditional.size = 12345, 1
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddNode_v2(byref(node), graph, None, None, 0, byref(p)))  # nobody's handle
    p.conditional.handle = condition(cuda, graph)
    for kind, size in ((IF, 0), (IF, 3), (WHILE, 2), (7, 1)):
        p.conditional.type, p.conditional.size = kind, size
        cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddNode_v2(byref(node), graph, None, None, 0, byref(p)))
    executable, parameters = c_void_p(), cuda.new("CUDA_GRAPH_INSTANTIATE_PARAMS")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphInstantiateWithParams(byref(executable), graph, byref(parameters)))
    assert parameters.result_out == cuda.CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED
    _, (body,) = add_conditional(cuda, graph, [], p.conditional.handle, IF)
    p.conditional.type, p.conditional.size = IF, 1
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddNode_v2(byref(node), graph, None, None, 0, byref(p)))  # used already
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphDestroy(body))  # the node's
    host = cuda.new("CUDA_HOST_NODE_PARAMS")
    host.fn = cuda.types["CUhostFn"](lambda _: None)
    cuda.check(cuda.cuGraphAddHostNode(byref(node), body, None, 0, byref(host)))
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuGraphInstantiateWithFlags(byref(executable), graph, 0))  # not in a body


def test_a_loop_ends_when_its_kernel_says_so(cuda: Driver) -> None:
    graph, counter, after = new_graph(cuda), cuda.upload(bytes(4)), cuda.upload(bytes(4))
    handle = condition(cuda, graph, default=1)
    node, (body,) = add_conditional(cuda, graph, [], handle, WHILE)
    add_kernel(cuda, body, [], "count", c_ulonglong(counter), c_uint(7), c_ulonglong(handle))
    add_fill(cuda, graph, [node], after, 5)
    executable = instantiate(cuda, graph)
    run(cuda, executable)
    assert (word(cuda, counter), word(cuda, after)) == (7, 5)
    run(cuda, executable)  # the default comes back at every launch; one more round ends it
    assert word(cuda, counter) == 8


def test_if_else_and_switch(cuda: Driver) -> None:
    address = cuda.upload(bytes(8))
    for kind, size, cases in ((IF, 2, {0: 101, 1: 100, 9: 100}), (SWITCH, 3, {0: 100, 2: 102, 3: 7})):
        for value, expected in cases.items():
            graph = new_graph(cuda)
            handle = condition(cuda, graph)
            first = add_kernel(cuda, graph, [], "set", c_ulonglong(handle), c_uint(value))
            clear = add_fill(cuda, graph, [first], address, 7)
            _, bodies = add_conditional(cuda, graph, [clear], handle, kind, size)
            for i, body in enumerate(bodies):
                add_fill(cuda, body, [], address, 100 + i)
            run(cuda, instantiate(cuda, graph))
            assert word(cuda, address) == expected, (kind, value)


def test_conditions_inside_conditions(cuda: Driver) -> None:
    graph, outer_count, inner_count = new_graph(cuda), cuda.upload(bytes(4)), cuda.upload(bytes(4))
    outer, inner = condition(cuda, graph, 1), condition(cuda, graph, 1, 0)
    _, (body,) = add_conditional(cuda, graph, [], outer, WHILE)
    begin = add_kernel(cuda, body, [], "set", c_ulonglong(inner), c_uint(1))
    again, (inside,) = add_conditional(cuda, body, [begin], inner, IF)
    add_kernel(cuda, inside, [], "count", c_ulonglong(inner_count), c_uint(100), c_ulonglong(inner))
    add_kernel(cuda, body, [again], "count", c_ulonglong(outer_count), c_uint(3), c_ulonglong(outer))
    clone = c_void_p()
    cuda.check(cuda.cuGraphClone(byref(clone), graph))
    run(cuda, instantiate(cuda, clone.value or 0))
    assert (word(cuda, outer_count), word(cuda, inner_count)) == (3, 3)


@pytest.mark.parametrize("named", [False, True])
def test_a_body_that_was_captured(cuda: Driver, named: bool) -> None:
    graph, address, stream, captured = new_graph(cuda), cuda.upload(bytes(4)), new_stream(cuda), c_void_p()
    handle = condition(cuda, graph, default=1)
    _, (body,) = add_conditional(cuda, graph, [], handle, IF)
    cuda.check(cuda.cuStreamBeginCaptureToGraph(stream, body, None, None, 0, 0))
    cuda.check(cuda.cuMemsetD32Async(address, 77, 1, stream))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(captured) if named else None))
    assert captured.value == (body if named else None)
    run(cuda, instantiate(cuda, graph))
    assert word(cuda, address) == 77


def test_memory_operations(cuda: Driver) -> None:
    graph, node, address = new_graph(cuda), c_void_p(), cuda.upload(bytes(16))
    operations = (cuda.types["CUstreamBatchMemOpParams"] * 3)()
    operations[0].writeValue.operation = cuda.CU_STREAM_MEM_OP_WRITE_VALUE_32
    operations[0].writeValue.address, operations[0].writeValue.value = address, 5
    operations[1].waitValue.operation = cuda.CU_STREAM_MEM_OP_WAIT_VALUE_32
    operations[1].waitValue.address, operations[1].waitValue.value, operations[1].waitValue.flags = address, 5, 1
    reduction = operations[2].atomicReduction
    reduction.operation, reduction.reductionOp = cuda.CU_STREAM_MEM_OP_ATOMIC_REDUCTION, cuda.CU_STREAM_ATOMIC_REDUCTION_OP_ADD
    reduction.dataType, reduction.address, reduction.value = cuda.CU_STREAM_ATOMIC_REDUCTION_UNSIGNED_64, address + 8, 3
    p, back = cuda.new("CUDA_BATCH_MEM_OP_NODE_PARAMS"), cuda.new("CUDA_BATCH_MEM_OP_NODE_PARAMS")
    p.ctx, p.count, p.paramArray = cuda.context, 3, ctypes.addressof(operations)
    p.flags = 1
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddBatchMemOpNode(byref(node), graph, None, 0, byref(p)))
    p.flags = 0
    operations[0].writeValue.address = address + 2  # not aligned
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddBatchMemOpNode(byref(node), graph, None, 0, byref(p)))
    operations[0].writeValue.address = address
    cuda.check(cuda.cuGraphAddBatchMemOpNode(byref(node), graph, None, 0, byref(p)))
    cuda.check(cuda.cuGraphBatchMemOpNodeGetParams(node, byref(back)))
    assert (back.count, back.ctx) == (3, cuda.context)
    executable = instantiate(cuda, graph)
    run(cuda, executable)
    run(cuda, executable)
    assert struct.unpack("<IIQ", cuda.download(address, 16)) == (5, 0, 6)
    operations[0].writeValue.value = operations[1].waitValue.value = 6
    cuda.check(cuda.cuGraphExecBatchMemOpNodeSetParams(executable, node, byref(p)))
    run(cuda, executable)
    assert word(cuda, address) == 6
    cuda.check(cuda.cuGraphBatchMemOpNodeSetParams(node, byref(p)))


def test_stream_memory_operations_are_captured(cuda: Driver) -> None:
    stream, graph, address, kind, count = new_stream(cuda), c_void_p(), cuda.upload(bytes(4)), c_uint(), c_size_t(1)
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.check(cuda.cuStreamWriteValue32_v2(stream, address, 9, 0))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))
    nodes = (c_void_p * 1)()
    cuda.check(cuda.cuGraphGetNodes(graph, nodes, byref(count)))
    cuda.check(cuda.cuGraphNodeGetType(nodes[0], byref(kind)))
    assert kind.value == cuda.CU_GRAPH_NODE_TYPE_BATCH_MEM_OP
    run(cuda, instantiate(cuda, graph.value or 0))
    assert word(cuda, address) == 9


def semaphore(cuda: Driver, descriptor: int, kind: int = 1) -> int:
    description, made = cuda.new("CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC"), c_void_p()
    description.type, description.handle.fd = kind, descriptor
    cuda.check(cuda.cuImportExternalSemaphore(byref(made), byref(description)))
    return made.value or 0


def test_semaphore_nodes(cuda: Driver) -> None:
    made, graph, nodes, address = semaphore(cuda, os.eventfd(0)), new_graph(cuda), [c_void_p(), c_void_p()], cuda.upload(bytes(4))
    semaphores, parameters = (c_void_p * 1)(made), (cuda.types["CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS"] * 1)()
    signal, back = cuda.new("CUDA_EXT_SEM_SIGNAL_NODE_PARAMS"), cuda.new("CUDA_EXT_SEM_SIGNAL_NODE_PARAMS")
    signal.extSemArray, signal.paramsArray = ctypes.addressof(semaphores), ctypes.addressof(parameters)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddExternalSemaphoresSignalNode(byref(nodes[0]), graph, None, 0, byref(signal)))
    signal.numExtSems = 1
    cuda.check(cuda.cuGraphAddExternalSemaphoresSignalNode(byref(nodes[0]), graph, None, 0, byref(signal)))
    cuda.check(cuda.cuGraphExternalSemaphoresSignalNodeGetParams(nodes[0], byref(back)))
    assert (back.numExtSems, c_void_p.from_address(back.extSemArray).value) == (1, made)
    wait_parameters, wait = (cuda.types["CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS"] * 1)(), cuda.new("CUDA_EXT_SEM_WAIT_NODE_PARAMS")
    wait.extSemArray, wait.paramsArray, wait.numExtSems = ctypes.addressof(semaphores), ctypes.addressof(wait_parameters), 1
    cuda.check(cuda.cuGraphAddExternalSemaphoresWaitNode(byref(nodes[1]), graph, (c_void_p * 1)(nodes[0]), 1, byref(wait)))
    add_fill(cuda, graph, [nodes[1].value or 0], address, 4)
    executable = instantiate(cuda, graph)
    for _ in range(2):
        run(cuda, executable)
    assert word(cuda, address) == 4
    cuda.check(cuda.cuGraphExecExternalSemaphoresSignalNodeSetParams(executable, nodes[0], byref(signal)))
    cuda.check(cuda.cuGraphExecExternalSemaphoresWaitNodeSetParams(executable, nodes[1], byref(wait)))
    cuda.check(cuda.cuGraphExternalSemaphoresWaitNodeSetParams(nodes[1], byref(wait)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphExternalSemaphoresWaitNodeSetParams(nodes[0], byref(wait)))
    cuda.check(cuda.cuDestroyExternalSemaphore(made))
    cuda.expect("CUDA_ERROR_INVALID_HANDLE", cuda.cuGraphExternalSemaphoresWaitNodeSetParams(nodes[1], byref(wait)))


def test_edges_keep_what_is_said_of_them(cuda: Driver) -> None:
    graph, counter = new_graph(cuda), cuda.upload(bytes(4))
    handle = condition(cuda, graph)
    add_conditional(cuda, graph, [], handle, IF)
    arguments = (c_ulonglong(counter), c_uint(9), c_ulonglong(handle))
    first, second = (add_kernel(cuda, graph, [], "count", *arguments) for _ in range(2))
    fill = add_fill(cuda, graph, [], counter, 0)
    data = cuda.new("CUgraphEdgeData")
    data.from_port, data.type = cuda.CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC, cuda.CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC
    edge = ((c_void_p * 1)(first), (c_void_p * 1)(second))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphAddDependencies_v2(graph, (c_void_p * 1)(fill), edge[1], byref(data), 1))
    cuda.check(cuda.cuGraphAddDependencies_v2(graph, *edge, byref(data), 1))
    found, back, count = (c_void_p * 1)(), cuda.new("CUgraphEdgeData"), c_size_t(1)
    cuda.expect("CUDA_ERROR_LOSSY_QUERY", cuda.cuGraphNodeGetDependencies(second, found, byref(count)))
    cuda.check(cuda.cuGraphNodeGetDependencies_v2(second, found, byref(back), byref(count)))
    assert (found[0], back.from_port, back.type) == (first, 1, 1)
    cuda.check(cuda.cuGraphNodeGetDependentNodes_v2(first, found, byref(back), byref(count)))
    assert (found[0], back.from_port) == (second, 1)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphRemoveDependencies(graph, *edge, 1))  # a plain edge there is not
    cuda.check(cuda.cuGraphRemoveDependencies_v2(graph, *edge, byref(data), 1))


def test_memory_that_is_still_allocated_keeps_a_graph_from_running(cuda: Driver) -> None:
    graph, node, p, executable = new_graph(cuda), c_void_p(), cuda.new("CUDA_MEM_ALLOC_NODE_PARAMS"), c_void_p()
    p.poolProps.allocType, p.poolProps.location.type, p.bytesize = 1, 1, 4096
    cuda.check(cuda.cuGraphAddMemAllocNode(byref(node), graph, None, 0, byref(p)))
    cuda.check(cuda.cuGraphInstantiateWithFlags(byref(executable), graph, 0))
    run(cuda, executable.value or 0)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphLaunch(executable, None))
    cuda.check(cuda.cuMemFreeAsync(p.dptr, None))
    run(cuda, executable.value or 0)
    cuda.check(cuda.cuMemFree_v2(p.dptr))
    cuda.check(cuda.cuGraphInstantiateWithFlags(byref(executable), graph, cuda.CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH))
    for _ in range(2):
        run(cuda, executable.value or 0)


def test_a_child_graph_may_be_handed_over(cuda: Driver) -> None:
    parent, child, address, node, p = new_graph(cuda), new_graph(cuda), cuda.upload(bytes(4)), c_void_p(), cuda.new("CUgraphNodeParams")
    p.type, p.graph.graph, p.graph.ownership = cuda.CU_GRAPH_NODE_TYPE_GRAPH, child, cuda.CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE
    cuda.check(cuda.cuGraphAddNode_v2(byref(node), parent, None, None, 0, byref(p)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphDestroy(child))
    add_fill(cuda, child, [], address, 6)  # it can still be built
    run(cuda, instantiate(cuda, parent))
    assert word(cuda, address) == 6
    cuda.check(cuda.cuGraphDestroy(parent))


def test_every_node_says_its_parameters(cuda: Driver) -> None:
    graph, node, p, kind = new_graph(cuda), c_void_p(), cuda.new("CUgraphNodeParams"), c_int()
    conditional, bodies = add_conditional(cuda, graph, [], condition(cuda, graph), SWITCH, 4)
    cuda.check(cuda.cuGraphNodeGetParams(conditional, byref(p)))
    assert (p.type, p.conditional.type, p.conditional.size) == (cuda.CU_GRAPH_NODE_TYPE_CONDITIONAL, SWITCH, 4)
    assert list((c_void_p * 4).from_address(p.conditional.phGraph_out)) == bodies
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuGraphNodeSetParams(conditional, byref(p)))
    cuda.check(cuda.cuGraphAddEmptyNode(byref(node), graph, None, 0))
    cuda.check(cuda.cuGraphNodeGetType(node, byref(kind)))
    assert kind.value == cuda.CU_GRAPH_NODE_TYPE_EMPTY
    assert status(cuda, new_stream(cuda)) == 0
