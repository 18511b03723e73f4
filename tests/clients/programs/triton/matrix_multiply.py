"""Tiled matrix multiply with grouped program order, masks and several types; pipelined by Triton with asynchronous copies."""

import torch
import triton
import triton.language as tl

DEVICE = triton.runtime.driver.active.get_active_torch_device()
torch.manual_seed(0)


@triton.jit
def multiply(
    a,
    b,
    c,
    m,
    n,
    k,
    stride_am,
    stride_ak,
    stride_bk,
    stride_bn,
    stride_cm,
    stride_cn,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    GROUP: tl.constexpr,
    RELU: tl.constexpr,
):
    program, rows, columns = tl.program_id(0), tl.cdiv(m, BM), tl.cdiv(n, BN)
    group = program // (GROUP * columns)
    height = min(rows - group * GROUP, GROUP)
    row = group * GROUP + (program % (GROUP * columns)) % height
    column = (program % (GROUP * columns)) // height
    at_m, at_n, at_k = (row * BM + tl.arange(0, BM)) % m, (column * BN + tl.arange(0, BN)) % n, tl.arange(0, BK)
    left = a + at_m[:, None] * stride_am + at_k[None, :] * stride_ak
    right = b + at_k[:, None] * stride_bk + at_n[None, :] * stride_bn
    total = tl.zeros((BM, BN), tl.float32)
    for step in range(0, tl.cdiv(k, BK)):
        inside = at_k < k - step * BK
        total = tl.dot(tl.load(left, mask=inside[None, :], other=0.0), tl.load(right, mask=inside[:, None], other=0.0), total)
        left += BK * stride_ak
        right += BK * stride_bk
    if RELU:
        total = tl.maximum(total, 0.0)
    m_place, n_place = row * BM + tl.arange(0, BM), column * BN + tl.arange(0, BN)
    place = c + stride_cm * m_place[:, None] + stride_cn * n_place[None, :]
    tl.store(place, total.to(c.dtype.element_ty), mask=(m_place[:, None] < m) & (n_place[None, :] < n))


def run(a, b, relu=False, block=(64, 64, 32), warps=4, stages=3):
    (m, k), n = a.shape, b.shape[1]
    c = torch.empty((m, n), device=DEVICE, dtype=a.dtype)
    grid = (triton.cdiv(m, block[0]) * triton.cdiv(n, block[1]),)
    multiply[grid](
        a,
        b,
        c,
        m,
        n,
        k,
        *a.stride(),
        *b.stride(),
        *c.stride(),
        BM=block[0],
        BN=block[1],
        BK=block[2],
        GROUP=4,
        RELU=relu,
        num_warps=warps,
        num_stages=stages,
    )
    return c


for kind, tolerance in ((torch.float16, 2e-2), (torch.bfloat16, 2e-1), (torch.float32, 5e-2)):
    a, b = torch.randn((200, 150), device=DEVICE).to(kind), torch.randn((150, 170), device=DEVICE).to(kind)
    expected = a.float() @ b.float()
    torch.testing.assert_close(run(a, b).float(), expected, atol=tolerance, rtol=1e-2)
    product = run(a, b, relu=True, block=(32, 64, 16), warps=2, stages=1).float()
    torch.testing.assert_close(product, expected.relu(), atol=tolerance, rtol=1e-2)
a, b = torch.randn((128, 96), device=DEVICE).half(), torch.randn((112, 96), device=DEVICE).half()
torch.testing.assert_close(run(a, b.T, block=(128, 64, 32), warps=8, stages=4).float(), a.float() @ b.float().T, atol=2e-2, rtol=1e-2)
