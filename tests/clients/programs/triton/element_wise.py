"""Vector add, fused softmax, layer norm forward: one program a row, masks, reductions."""

import torch
import triton
import triton.language as tl

DEVICE = triton.runtime.driver.active.get_active_torch_device()
torch.manual_seed(0)


@triton.jit
def add(x, y, out, count, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    tl.store(out + index, tl.load(x + index, mask=inside) + tl.load(y + index, mask=inside), mask=inside)


for count in (1, 1000, 98_432):
    x, y = torch.rand(count, device=DEVICE), torch.rand(count, device=DEVICE)
    out = torch.empty_like(x)
    add[(triton.cdiv(count, 1024),)](x, y, out, count, BLOCK=1024)
    torch.testing.assert_close(out, x + y, rtol=0, atol=0)


@triton.jit
def softmax(out, x, columns, stride, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    values = tl.load(x + row * stride + column, mask=column < columns, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * stride + column, powers / tl.sum(powers, axis=0), mask=column < columns)


for shape in ((7, 5), (64, 781), (33, 1024)):
    x = torch.randn(shape, device=DEVICE)
    out = torch.empty_like(x)
    softmax[(shape[0],)](out, x, shape[1], x.stride(0), BLOCK=triton.next_power_of_2(shape[1]), num_warps=4)
    torch.testing.assert_close(out, torch.softmax(x, 1))


@triton.jit
def layer_norm(x, out, weight, bias, means, inverses, columns, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, columns, BLOCK):
        column = first + tl.arange(0, BLOCK)
        total += tl.load(x + row * columns + column, mask=column < columns, other=0.0).to(tl.float32)
    mean = tl.sum(total, axis=0) / columns
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, columns, BLOCK):
        column = first + tl.arange(0, BLOCK)
        value = tl.load(x + row * columns + column, mask=column < columns, other=0.0).to(tl.float32)
        difference = tl.where(column < columns, value - mean, 0.0)
        total += difference * difference
    inverse = 1 / tl.sqrt(tl.sum(total, axis=0) / columns + epsilon)
    tl.store(means + row, mean)
    tl.store(inverses + row, inverse)
    for first in range(0, columns, BLOCK):
        column = first + tl.arange(0, BLOCK)
        inside = column < columns
        value = tl.load(x + row * columns + column, mask=inside, other=0.0).to(tl.float32)
        result = (value - mean) * inverse * tl.load(weight + column, mask=inside) + tl.load(bias + column, mask=inside)
        tl.store(out + row * columns + column, result, mask=inside)


for kind, tolerance in ((torch.float32, 1e-5), (torch.float16, 1e-2)):
    x = torch.randn((40, 700), device=DEVICE).to(kind)
    weight, bias = torch.rand(700, device=DEVICE).to(kind), torch.rand(700, device=DEVICE).to(kind)
    out, means, inverses = torch.empty_like(x), torch.empty(40), torch.empty(40)
    layer_norm[(40,)](x, out, weight, bias, means, inverses, 700, 1e-5, BLOCK=256)
    expected = torch.nn.functional.layer_norm(x.float(), (700,), weight.float(), bias.float())
    torch.testing.assert_close(out.float(), expected, atol=tolerance, rtol=tolerance)


@triton.jit
def dropout(x, out, count, keep, seed, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    kept = tl.rand(seed, index) < keep
    tl.store(out + index, tl.where(kept, tl.load(x + index, mask=inside) / keep, 0.0), mask=inside)


x, out, again = torch.ones(5000), torch.empty(5000), torch.empty(5000)
dropout[(5,)](x, out, 5000, 0.5, 123, BLOCK=1024)
dropout[(5,)](x, again, 5000, 0.5, 123, BLOCK=1024)
assert torch.equal(out, again) and set(out.unique().tolist()) == {0.0, 2.0} and 0.45 < (out > 0).float().mean() < 0.55


@triton.jit
def scans(x, sums, order, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    value = tl.load(x + index)
    tl.store(sums + index, tl.cumsum(value, axis=0))
    tl.store(order + index, tl.sort(value))


x = torch.randint(-100, 100, (256,), dtype=torch.int32)
sums, order = torch.empty_like(x), torch.empty_like(x)
scans[(1,)](x, sums, order, BLOCK=256)
torch.testing.assert_close(sums, x.cumsum(0, dtype=torch.int32))
torch.testing.assert_close(order, x.sort().values)


@triton.jit
def accumulate(x, total, count, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(total, tl.sum(tl.load(x + index, mask=index < count, other=0.0), axis=0))


x, total = torch.rand(10_000), torch.zeros(1)
accumulate[(40,)](x, total, 10_000, BLOCK=256)
torch.testing.assert_close(total[0], x.sum(), rtol=1e-4, atol=1e-3)
