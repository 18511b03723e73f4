"""cuda.core: devices, streams, buffers, PTX programs linked by the driver, events."""

import numpy as np
from cuda.bindings import driver
from cuda.core import Device, LaunchConfig, ObjectCode, Program, ProgramOptions, launch

PTX = """
.version 7.0
.target sm_70
.address_size 64
.visible .entry square(.param .u64 x)
{
  .reg .b32 %r<3>; .reg .f64 %f<2>; .reg .b64 %d<4>;
  ld.param.u64 %d1, [x];
  mov.u32 %r0, %ctaid.x; mov.u32 %r1, %ntid.x; mov.u32 %r2, %tid.x; mad.lo.u32 %r0, %r0, %r1, %r2;
  mul.wide.u32 %d2, %r0, 8; add.u64 %d1, %d1, %d2; ld.global.f64 %f1, [%d1]; mul.f64 %f1, %f1, %f1; st.global.f64 [%d1], %f1;
  ret;
}
"""
device = Device()
device.set_current()
assert device.compute_capability == (8, 0) and device.properties.warp_size == 32
stream = device.create_stream()
x = np.random.default_rng(0).standard_normal(256)
objects = [ObjectCode.from_ptx(PTX.encode()), Program(PTX, "ptx", options=ProgramOptions(arch="sm_80")).compile("cubin")]
for code in objects:
    buffer = device.allocate(x.nbytes, stream=stream)
    stream.sync()
    address = int(buffer.handle)
    assert driver.cuMemcpyHtoD(address, x.ctypes.data, x.nbytes)[0] == driver.CUresult.CUDA_SUCCESS
    kernel = code.get_kernel("square")
    launch(stream, LaunchConfig(grid=4, block=64), kernel, buffer)
    stream.sync()
    out = np.empty_like(x)
    assert driver.cuMemcpyDtoH(out.ctypes.data, address, x.nbytes)[0] == driver.CUresult.CUDA_SUCCESS
    np.testing.assert_array_equal(out, x * x)
    buffer.close(stream)
    assert kernel.attributes.max_threads_per_block == 1024
device.sync()  # through the runtime
