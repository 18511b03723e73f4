"""What kernels start themselves: launches, copies, streams, events; graphs launched and nodes changed by kernels."""

from __future__ import annotations

import ctypes
import struct
from ctypes import byref, c_int, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import pytest

from .conftest import Driver

PTX = (Path(__file__).parent / "device_runtime/kernels.ptx").read_text()
DEVICE_LAUNCH, AUTO_FREE = 4, 1
TAIL, FIRE_AND_FORGET, SIBLING = 0x0100000000000000, 0x0200000000000000, 0x0300000000000000
DEVICE_UPDATABLE = 13


class Kernels:
    """The module's kernels, words of device memory, graphs of kernels."""

    def __init__(self, cuda: Driver) -> None:
        self.cuda = cuda
        self.module = cuda.module(PTX)
        self.words = cuda.upload(bytes(4096))

    def run(self, name: str, *arguments: Any, grid: int = 1, block: int = 1) -> None:
        self.cuda.check(self.cuda.launch(self.cuda.function(self.module, name), grid, block, *arguments))
        self.cuda.check(self.cuda.cuCtxSynchronize())

    def read(self, count: int, offset: int = 0) -> list[int]:
        return list(struct.unpack(f"{count}i", self.cuda.download(self.words + offset, 4 * count)))

    def log(self) -> list[int]:
        """What `note` has noted."""
        count = self.read(1)[0]
        return self.read(1 + count)[1:]

    def graph(self) -> int:
        made = c_void_p()
        self.cuda.check(self.cuda.cuGraphCreate(byref(made), 0))
        return made.value or 0

    def add(self, graph: int, name: str, *arguments: Any, after: list[int] | None = None) -> int:
        node = c_void_p()
        p = self.cuda.new("CUDA_KERNEL_NODE_PARAMS")
        p.func = self.cuda.function(self.module, name)
        p.gridDimX = p.gridDimY = p.gridDimZ = p.blockDimX = p.blockDimY = p.blockDimZ = 1
        pointers = (c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
        p.kernelParams = ctypes.addressof(pointers)
        before = after or []
        dependencies = (c_void_p * max(len(before), 1))(*before)
        self.cuda.check(self.cuda.cuGraphAddKernelNode_v2(byref(node), graph, dependencies, len(before), byref(p)))
        return node.value or 0

    def instantiate(self, graph: int, flags: int = 0) -> int:
        made = c_void_p()
        self.cuda.check(self.cuda.cuGraphInstantiateWithFlags(byref(made), graph, flags))
        return made.value or 0

    def launchable(self, *numbers: int) -> int:
        """An executable graph that kernels can launch and that notes the numbers in order."""
        graph, last = self.graph(), []
        for number in numbers:
            last = [self.add(graph, "note", c_uint64(self.words), c_int(number), after=last)]
        made = self.instantiate(graph, DEVICE_LAUNCH)
        self.cuda.check(self.cuda.cuGraphUpload(made, None))
        return made

    def launch(self, executable: int) -> None:
        self.cuda.check(self.cuda.cuGraphLaunch(executable, None))
        self.cuda.check(self.cuda.cuStreamSynchronize(None))

    def updatable(self, node: int) -> int:
        """Makes a node one that kernels can change; its handle on the device."""
        value = self.cuda.new("CUlaunchAttributeValue")
        value.deviceUpdatableKernelNode.deviceUpdatable = 1
        self.cuda.check(self.cuda.cuGraphKernelNodeSetAttribute(node, DEVICE_UPDATABLE, byref(value)))
        self.cuda.check(self.cuda.cuGraphKernelNodeGetAttribute(node, DEVICE_UPDATABLE, byref(value)))
        assert value.deviceUpdatableKernelNode.deviceUpdatable == 1
        return int(value.deviceUpdatableKernelNode.devNode)


@pytest.fixture
def kernels(cuda: Driver) -> Kernels:
    return Kernels(cuda)


RESULTS = 2048  # bytes from `words` on


# ---- launches from kernels


def test_a_blocks_stream_is_in_order_and_tail_launches_come_last(kernels: Kernels) -> None:
    kernels.run("in_order", c_uint64(kernels.words))
    assert kernels.log() == [0, 1, 2, 3, 4, 100, 101]


def test_a_launch_is_complete_when_all_its_descendants_are(kernels: Kernels) -> None:
    kernels.run("tree", c_uint64(kernels.words), c_int(6))
    assert kernels.read(1) == [64]


def test_work_behind_the_launch_waits_for_what_it_started(kernels: Kernels) -> None:
    cuda = kernels.cuda
    cuda.check(cuda.launch(cuda.function(kernels.module, "tree"), 1, 1, c_uint64(kernels.words), c_int(5)))
    host = ctypes.create_string_buffer(4)
    cuda.check(cuda.cuMemcpyDtoHAsync_v2(host, kernels.words, 4, None))
    cuda.check(cuda.cuStreamSynchronize(None))
    assert struct.unpack("i", host.raw) == (32,)


def test_every_thread_can_launch_and_parameters_of_all_sizes_arrive(kernels: Kernels) -> None:
    kernels.run("many_parents", c_uint64(kernels.words), grid=3, block=40)
    assert kernels.read(1) == [3 * 40 * (4 * 8) * 3]


def test_streams_and_events_of_kernels(kernels: Kernels) -> None:
    kernels.run("streams_and_events", c_uint64(kernels.words))
    assert kernels.log() == [0, 1, 2, 3]


def test_copies_and_fills_by_kernels(kernels: Kernels) -> None:
    kernels.run("memory", c_uint64(kernels.words))
    one, two = 0x01010101, 0x02020202
    words = kernels.read(35)
    assert words[:4] == [one] * 4
    assert words[4:8] == [one, one, 0, 0]
    assert [words[8], words[9], words[12], words[13]] == [two, 0, two, 0]
    assert words[16:20] == [two, 0, two, 0]
    assert words[32:35] == [0, 77, 0]


def test_questions_of_kernels(kernels: Kernels) -> None:
    cuda, sizes, text = kernels.cuda, kernels.words + 1024, kernels.words + 1100
    kernels.run("questions", c_uint64(kernels.words), c_uint64(sizes), c_uint64(text))
    out = kernels.read(14)
    assert out[0:7] == [0, 1, 0, 0, 0, 32, 0]
    assert out[7] == 0 and out[8] > 0
    assert out[9] == 0 and out[10] == 1024
    assert out[11] == 9, "cudaErrorInvalidConfiguration"
    assert out[12] == 0, "cudaGetLastError has reset it"
    assert out[13] == 400, "cudaErrorInvalidResourceHandle"
    heap = ctypes.c_size_t()
    cuda.check(cuda.cuCtxGetLimit(byref(heap), 2))
    assert struct.unpack("Q", cuda.download(sizes, 8)) == (heap.value,)


def test_a_fault_in_a_kernel_that_a_kernel_launched_is_the_contexts(kernels: Kernels, capfd: pytest.CaptureFixture[str]) -> None:
    cuda = kernels.cuda
    cuda.check(cuda.launch(cuda.function(kernels.module, "in_order"), 1, 1, c_uint64(0x40)))
    cuda.expect("CUDA_ERROR_ILLEGAL_ADDRESS", cuda.cuCtxSynchronize())
    assert "kernel 'note'" in capfd.readouterr().err


# ---- graphs launched from kernels


@pytest.mark.parametrize(
    ("stream", "expected"),
    [(FIRE_AND_FORGET, {1, 2, 7, 8}), (TAIL, [1, 7, 2, 8]), (SIBLING, {1, 2, 7, 8})],
    ids=["fire and forget", "tail", "sibling"],
)
def test_a_kernel_launches_a_graph(stream: int, expected: set[int] | list[int], kernels: Kernels) -> None:
    inner = kernels.launchable(2, 8)
    words, result = c_uint64(kernels.words), c_uint64(kernels.words + RESULTS)
    graph = kernels.graph()
    first = kernels.add(graph, "launch", c_uint64(inner), c_uint64(stream), words, c_int(1), result)
    kernels.add(graph, "note", words, c_int(7), after=[first])
    executable = kernels.instantiate(graph)
    for _ in range(3):
        kernels.cuda.check(kernels.cuda.cuMemsetD32_v2(kernels.words, 0, 8))
        kernels.launch(executable)
        log = kernels.log()
        assert kernels.read(1, RESULTS) == [0]
        # A tail launch comes behind the graph: 1, 7, then 2, 8.
        assert (set(log) == expected and log.index(2) < log.index(8)) if isinstance(expected, set) else log == [1, 7, 2, 8]


def test_a_graph_launches_itself_again_and_again(kernels: Kernels) -> None:
    graph = kernels.graph()
    kernels.add(graph, "again", c_uint64(kernels.words), c_int(500))
    executable = kernels.instantiate(graph, DEVICE_LAUNCH)
    kernels.launch(executable)
    assert kernels.read(1) == [500]


def test_tail_launches_of_a_tail_launch_come_before_those_that_wait(kernels: Kernels) -> None:
    words, result = c_uint64(kernels.words), c_uint64(kernels.words + RESULTS)
    last, inner = kernels.launchable(30), kernels.launchable(20)
    graph = kernels.graph()
    kernels.add(graph, "launch", c_uint64(inner), c_uint64(TAIL), words, c_int(10), result)
    middle = kernels.instantiate(graph, DEVICE_LAUNCH)
    kernels.cuda.check(kernels.cuda.cuGraphUpload(middle, None))
    outer = kernels.graph()
    first = kernels.add(outer, "launch", c_uint64(middle), c_uint64(TAIL), words, c_int(1), result)
    kernels.add(outer, "launch", c_uint64(last), c_uint64(TAIL), words, c_int(2), result, after=[first])
    kernels.launch(kernels.instantiate(outer))
    assert kernels.log() == [1, 2, 10, 20, 30]


def test_launches_of_graphs_that_are_refused(kernels: Kernels) -> None:
    words, result = c_uint64(kernels.words), c_uint64(kernels.words + RESULTS)
    plain = kernels.graph()
    kernels.add(plain, "note", words, c_int(2))
    not_uploaded = kernels.instantiate(plain, DEVICE_LAUNCH)
    for exec_handle, stream in ((kernels.instantiate(plain), TAIL), (not_uploaded, TAIL), (0x1000, TAIL), (kernels.launchable(3), 0)):
        graph = kernels.graph()
        kernels.add(graph, "launch", c_uint64(exec_handle), c_uint64(stream), words, c_int(1), result)
        kernels.launch(kernels.instantiate(graph))
        assert kernels.read(1, RESULTS) == [1], "cudaErrorInvalidValue"
    # A kernel that is in no graph has nothing that the graph could belong to.
    kernels.run("launch", c_uint64(kernels.launchable(4)), c_uint64(TAIL), words, c_int(1), result)
    assert kernels.read(1, RESULTS) == [1]
    assert set(kernels.log()) == {1}


def test_what_a_graph_for_kernels_may_hold(kernels: Kernels) -> None:
    cuda, made = kernels.cuda, c_void_p()
    graph = kernels.graph()
    kernels.add(graph, "note", c_uint64(kernels.words), c_int(1))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphInstantiateWithFlags(byref(made), graph, DEVICE_LAUNCH | AUTO_FREE))
    event, node = c_void_p(), c_void_p()
    cuda.check(cuda.cuEventCreate(byref(event), 0))
    cuda.check(cuda.cuGraphAddEventRecordNode(byref(node), graph, None, 0, event))
    p = cuda.new("CUDA_GRAPH_INSTANTIATE_PARAMS")
    p.flags = DEVICE_LAUNCH
    cuda.expect("CUDA_ERROR_NOT_SUPPORTED", cuda.cuGraphInstantiateWithParams(byref(made), graph, byref(p)))
    assert (p.result_out, p.hErrNode_out) == (3, node.value), "CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED"


# ---- nodes that kernels change


def changing(kernels: Kernels, name: str, *arguments: Any) -> tuple[int, int]:
    """A graph: a kernel that changes the second one, which notes 5. The executable graph, and the second node."""
    graph = kernels.graph()
    target = kernels.add(graph, "note", c_uint64(kernels.words), c_int(5))
    handle = kernels.updatable(target)
    first = kernels.add(graph, name, c_uint64(handle), *arguments, c_uint64(kernels.words + RESULTS))
    kernels.cuda.check(kernels.cuda.cuGraphAddDependencies(graph, byref(c_void_p(first)), byref(c_void_p(target)), 1))
    return kernels.instantiate(graph), target


@pytest.mark.parametrize(("enabled", "blocks", "expected"), [(1, 1, [9]), (1, 3, [9, 9, 9]), (0, 3, [])])
def test_a_kernel_changes_a_later_node(enabled: int, blocks: int, expected: list[int], kernels: Kernels) -> None:
    executable, _ = changing(kernels, "change", c_int(9), c_int(enabled), c_uint(blocks))
    kernels.launch(executable)
    assert kernels.read(3, RESULTS) == [0, 0, 0]
    assert kernels.log() == expected


def test_changes_together_and_those_that_are_refused(kernels: Kernels) -> None:
    executable, _ = changing(kernels, "change_together", c_int(6), c_uint(2))
    kernels.launch(executable)
    assert kernels.log() == [6, 6]
    assert kernels.read(3, RESULTS) == [0, 1, 1]


def test_a_kernel_changes_the_next_launch_and_the_host_overwrites_it(kernels: Kernels) -> None:
    cuda = kernels.cuda
    graph = kernels.graph()
    target = kernels.add(graph, "note", c_uint64(kernels.words), c_int(5))
    handle = kernels.updatable(target)
    executable = kernels.instantiate(graph)
    kernels.launch(executable)
    kernels.run("change", c_uint64(handle), c_int(8), c_int(1), c_uint(2), c_uint64(kernels.words + RESULTS))
    kernels.launch(executable)
    assert kernels.log() == [5, 8, 8]
    cuda.check(cuda.cuGraphNodeSetEnabled(executable, target, 0))
    kernels.launch(executable)
    assert kernels.log() == [5, 8, 8]


@pytest.mark.parametrize("stream", [TAIL, FIRE_AND_FORGET, SIBLING], ids=["tail", "fire and forget", "sibling"])
def test_graphs_that_such_a_node_launches_belong_to_the_launch(stream: int, kernels: Kernels) -> None:
    graph = kernels.graph()
    inner, result = kernels.launchable(2), c_uint64(kernels.words + RESULTS)
    kernels.updatable(kernels.add(graph, "launch", c_uint64(inner), c_uint64(stream), c_uint64(kernels.words), c_int(1), result))
    kernels.launch(kernels.instantiate(graph))
    assert kernels.read(1, RESULTS) == [0] and sorted(kernels.log()) == [1, 2]


def test_rules_for_nodes_that_kernels_change(kernels: Kernels) -> None:
    cuda, made = kernels.cuda, c_void_p()
    graph = kernels.graph()
    target = kernels.add(graph, "note", c_uint64(kernels.words), c_int(5))
    other = kernels.add(graph, "note", c_uint64(kernels.words), c_int(6))
    kernels.updatable(target)
    value = cuda.new("CUlaunchAttributeValue")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphKernelNodeSetAttribute(target, DEVICE_UPDATABLE, byref(value)))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphKernelNodeCopyAttributes(other, target))
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphDestroyNode(target))
    executable = kernels.instantiate(graph)
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuGraphInstantiateWithFlags(byref(made), graph, 0))
    info = cuda.new("CUgraphExecUpdateResultInfo")
    cuda.expect("CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", cuda.cuGraphExecUpdate_v2(executable, graph, byref(info)))


def test_a_captured_launch_that_kernels_change(kernels: Kernels) -> None:
    cuda, stream, graph = kernels.cuda, c_void_p(), c_void_p()
    cuda.check(cuda.cuStreamCreate(byref(stream), 1))
    attribute = cuda.new("CUlaunchAttribute")
    attribute.id = DEVICE_UPDATABLE
    attribute.value.deviceUpdatableKernelNode.deviceUpdatable = 1
    config = cuda.new("CUlaunchConfig")
    config.gridDimX = config.gridDimY = config.gridDimZ = config.blockDimX = config.blockDimY = config.blockDimZ = 1
    config.hStream, config.attrs, config.numAttrs = stream.value, ctypes.addressof(attribute), 1
    words, number = c_uint64(kernels.words), c_int(5)
    arguments = (c_void_p * 2)(ctypes.addressof(words), ctypes.addressof(number))
    function = cuda.function(kernels.module, "note")
    cuda.expect("CUDA_ERROR_INVALID_VALUE", cuda.cuLaunchKernelEx(byref(config), function, arguments, None))
    cuda.check(cuda.cuStreamBeginCapture_v2(stream, 0))
    cuda.check(cuda.cuLaunchKernelEx(byref(config), function, arguments, None))
    cuda.check(cuda.cuStreamEndCapture(stream, byref(graph)))
    handle = attribute.value.deviceUpdatableKernelNode.devNode
    executable = kernels.instantiate(graph.value or 0)
    kernels.run("change", c_uint64(handle), c_int(4), c_int(1), c_uint(1), c_uint64(kernels.words + RESULTS))
    kernels.launch(executable)
    assert kernels.log() == [4]
