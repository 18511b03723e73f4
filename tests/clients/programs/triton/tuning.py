"""The autotuner and the benchmark helpers, which measure with the driver's events."""

import torch
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({"BLOCK": size}, num_warps=warps) for size, warps in ((256, 2), (1024, 4))], key=["count"])
@triton.jit
def scale(x, out, count, factor, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, factor * tl.load(x + index, mask=index < count), mask=index < count)


x = torch.rand(5000)
out = torch.empty_like(x)
scale[lambda meta: (triton.cdiv(5000, meta["BLOCK"]),)](x, out, 5000, 3.0)
torch.testing.assert_close(out, 3 * x)
assert scale.best_config.kwargs["BLOCK"] in (256, 1024)
assert triton.testing.do_bench(lambda: scale[lambda meta: (triton.cdiv(5000, meta["BLOCK"]),)](x, out, 5000, 3.0), warmup=1, rep=5) > 0
assert triton.runtime.driver.active.get_current_target().arch == 80
