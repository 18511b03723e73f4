"""Device arrays: slices, reshapes, copies, the array interface, occupancy-driven launches, linked device code in PTX."""

import os
import tempfile

import numpy as np
from numba import cuda

x = np.arange(1200, dtype=np.float64).reshape(30, 40)
device = cuda.to_device(x)
np.testing.assert_array_equal(device[3:9].copy_to_host(), x[3:9])
np.testing.assert_array_equal(device.ravel().copy_to_host(), x.ravel())
np.testing.assert_array_equal(device.reshape(40, 30).copy_to_host(), x.reshape(40, 30))
device[5] = np.zeros(40)
assert (device.copy_to_host()[5] == 0).all()
other = cuda.device_array_like(device)
other.copy_to_device(device)
np.testing.assert_array_equal(other.copy_to_host(), device.copy_to_host())
strided = cuda.to_device(x[:, ::2].copy()).T


@cuda.jit
def double(array):
    for i in range(cuda.grid(1), array.shape[0], cuda.gridsize(1)):
        for j in range(array.shape[1]):
            array[i, j] *= 2


double.forall(20)(strided)
np.testing.assert_array_equal(strided.copy_to_host(), 2 * x[:, ::2].T)


class Exported:
    """Another library's array, by the CUDA array interface."""

    def __init__(self, array):
        self.owner, self.__cuda_array_interface__ = array, array.__cuda_array_interface__


view = cuda.as_cuda_array(Exported(device))
double[1, 32](view)
assert device.copy_to_host()[6, 1] == 2 * x[6, 1]

PTX = """.version 7.0
.target sm_70
.address_size 64
.visible .func (.param .b32 status) triple(.param .b64 result, .param .b64 value)
{
  .reg .b64 %d<3>; .reg .f64 %f<3>; .reg .b32 %r;
  ld.param.u64 %d1, [result];
  ld.param.f64 %f1, [value];
  add.f64 %f2, %f1, %f1;
  add.f64 %f2, %f2, %f1;
  st.f64 [%d1], %f2;
  mov.b32 %r, 0;
  st.param.b32 [status], %r;
  ret;
}
"""
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "triple.ptx")
    with open(path, "w") as file:
        file.write(PTX)
    triple = cuda.declare_device("triple", "float64(float64)", link=path)

    @cuda.jit
    def linked(values):
        i = cuda.grid(1)
        if i < values.size:
            values[i] = triple(values[i])

    values = np.arange(40.0)
    linked[2, 32](values)
np.testing.assert_array_equal(values, 3 * np.arange(40.0))
