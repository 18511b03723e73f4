"""Attention with a running maximum and sum, causal or not."""

import math

import torch
import triton
import triton.language as tl

torch.manual_seed(0)


@triton.jit
def attend(q, k, v, out, scale, length, HEAD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, CAUSAL: tl.constexpr):
    first, head = tl.program_id(0) * BM, tl.program_id(1)
    base = head * length * HEAD
    row, column, depth = first + tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, HEAD)
    query = tl.load(q + base + row[:, None] * HEAD + depth[None, :])
    largest = tl.full([BM], -float("inf"), tl.float32)
    norm = tl.zeros([BM], tl.float32)
    total = tl.zeros([BM, HEAD], tl.float32)
    end = first + BM if CAUSAL else length
    for start in range(0, end, BN):
        key = tl.load(k + base + (start + column)[None, :] * HEAD + depth[:, None])
        scores = tl.dot(query, key) * scale
        if CAUSAL:
            scores = tl.where(row[:, None] >= (start + column)[None, :], scores, -float("inf"))
        bound = tl.maximum(largest, tl.max(scores, 1))
        weights = tl.exp2(scores - bound[:, None])
        shrink = tl.exp2(largest - bound)
        norm = norm * shrink + tl.sum(weights, 1)
        value = tl.load(v + base + (start + column)[:, None] * HEAD + depth[None, :])
        total = tl.dot(weights.to(value.dtype), value, total * shrink[:, None])
        largest = bound
    tl.store(out + base + row[:, None] * HEAD + depth[None, :], (total / norm[:, None]).to(out.dtype.element_ty))


for causal in (False, True):
    q, k, v = (torch.randn((3, 128, 32)).half() for _ in range(3))
    out = torch.empty_like(q)
    scale = 1 / math.sqrt(32)
    attend[(128 // 32, 3)](q, k, v, out, scale * 1.44269504, 128, HEAD=32, BM=32, BN=32, CAUSAL=causal)
    expected = torch.nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=causal)
    torch.testing.assert_close(out.float(), expected, atol=1e-2, rtol=1e-2)
