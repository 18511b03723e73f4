"""Layer norm backward with partial sums that programs add to under a lock, then a second kernel over the partial sums."""

import torch
import triton
import triton.language as tl

torch.manual_seed(0)
ROWS, COLUMNS, GROUPS = 50, 300, 8


@triton.jit
def backward_x(dx, dy, x, weight, means, inverses, partial_w, partial_b, locks, columns, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    inside = column < columns
    value = tl.load(x + row * columns + column, mask=inside, other=0.0)
    gradient = tl.load(dy + row * columns + column, mask=inside, other=0.0)
    w = tl.load(weight + column, mask=inside, other=0.0)
    mean, inverse = tl.load(means + row), tl.load(inverses + row)
    normal = tl.where(inside, (value - mean) * inverse, 0.0)
    scaled = tl.where(inside, w * gradient, 0.0)
    c1, c2 = tl.sum(normal * scaled, axis=0) / columns, tl.sum(scaled, axis=0) / columns
    tl.store(dx + row * columns + column, (scaled - (normal * c1 + c2)) * inverse, mask=inside)
    group = row % GROUPS
    lock, used = locks + group, locks + GROUPS + group
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    w_place, b_place = partial_w + group * columns + column, partial_b + group * columns + column
    part_w, part_b = gradient * normal, gradient
    if tl.load(used) == 0:
        tl.atomic_xchg(used, 1)
    else:
        part_w += tl.load(w_place, mask=inside)
        part_b += tl.load(b_place, mask=inside)
    tl.store(w_place, part_w, mask=inside)
    tl.store(b_place, part_b, mask=inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def sum_groups(partial, out, groups, columns, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    column, row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, ROWS)
    inside = (row[:, None] < groups) & (column[None, :] < columns)
    values = tl.load(partial + row[:, None] * columns + column[None, :], mask=inside, other=0.0)
    tl.store(out + column, tl.sum(values, axis=0), mask=column < columns)


x = torch.randn(ROWS, COLUMNS, requires_grad=True)
weight, bias = torch.rand(COLUMNS, requires_grad=True), torch.rand(COLUMNS, requires_grad=True)
dy = torch.randn(ROWS, COLUMNS)
torch.nn.functional.layer_norm(x, (COLUMNS,), weight, bias).backward(dy)
data = x.detach()
means, inverses = data.mean(1), 1 / torch.sqrt(data.var(1, unbiased=False) + 1e-5)
dx, partial_w, partial_b = torch.empty_like(data), torch.empty(GROUPS, COLUMNS), torch.empty(GROUPS, COLUMNS)
locks = torch.zeros(2 * GROUPS, dtype=torch.int32)
backward_x[(ROWS,)](dx, dy, data, weight.detach(), means, inverses, partial_w, partial_b, locks, COLUMNS, GROUPS=GROUPS, BLOCK=512)
dw, db = torch.empty(COLUMNS), torch.empty(COLUMNS)
for partial, out in ((partial_w, dw), (partial_b, db)):
    sum_groups[(triton.cdiv(COLUMNS, 128),)](partial, out, GROUPS, COLUMNS, BLOCK=128, ROWS=8)
torch.testing.assert_close(dx, x.grad, atol=1e-4, rtol=1e-4)
torch.testing.assert_close(dw, weight.grad, atol=1e-4, rtol=1e-4)
torch.testing.assert_close(db, bias.grad, atol=1e-4, rtol=1e-4)
