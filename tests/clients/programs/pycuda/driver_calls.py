"""PyCUDA with a PTX module: launches, shared memory, globals, streams, events, GPUArray transfers."""

import numpy as np
import pycuda.autoinit
import pycuda.driver as drv

PTX = b"""
.version 7.0
.target sm_70
.address_size 64
.visible .global .align 4 .f32 factor = 2.0;

.visible .entry scale(.param .u64 x, .param .u32 n)
{
  .reg .b32 %r<5>; .reg .f32 %f<3>; .reg .b64 %d<4>; .reg .pred %p;
  ld.param.u64 %d1, [x]; ld.param.u32 %r1, [n];
  mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x; mad.lo.u32 %r2, %r2, %r3, %r4;
  setp.ge.u32 %p, %r2, %r1;
  @%p ret;
  mul.wide.u32 %d2, %r2, 4; add.u64 %d1, %d1, %d2;
  ld.global.f32 %f1, [%d1]; ld.global.f32 %f2, [factor]; mul.f32 %f1, %f1, %f2; st.global.f32 [%d1], %f1;
  ret;
}
"""
module = drv.module_from_buffer(PTX)
scale = module.get_function("scale")
x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
device = drv.mem_alloc(x.nbytes)
drv.memcpy_htod(device, x)
scale(device, np.uint32(1000), block=(128, 1, 1), grid=(8, 1))
out = np.empty_like(x)
drv.memcpy_dtoh(out, device)
np.testing.assert_array_equal(out, 2 * x)

address, size = module.get_global("factor")
assert size == 4
drv.memcpy_htod(address, np.float32(0.5))
data = x.copy()
scale(drv.InOut(data), np.uint32(1000), block=(128, 1, 1), grid=(8, 1))
np.testing.assert_array_equal(data, 0.5 * x)

scale.prepare("PI")
stream, start, end = drv.Stream(), drv.Event(), drv.Event()
host = drv.pagelocked_empty(1000, np.float32)
host[:] = x
start.record(stream)
drv.memcpy_htod_async(device, host, stream)
for _ in range(4):
    scale.prepared_async_call((8, 1), (128, 1, 1), stream, device, 1000)
drv.memcpy_dtoh_async(host, device, stream)
end.record(stream)
end.synchronize()
np.testing.assert_array_equal(host, x / 16)
assert start.time_till(end) >= 0
assert scale.num_regs > 0 and scale.max_threads_per_block == 1024
assert pycuda.autoinit.device.compute_capability() == (8, 0) and drv.mem_get_info()[1] > 0
try:
    drv.module_from_buffer(b".version 7.0\n.target sm_70\n.visible .entry broken() { mov.u32 %r1 }\n")
except drv.Error:
    pass
else:
    raise AssertionError("broken PTX was accepted")
