// Memory with rows and slices: allocation, copies of boxes in all directions, fills.
#include <vector>

#include "check.h"

__global__ void add_one(char* base, size_t pitch, int width, int rows) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x < width && y < rows) reinterpret_cast<int*>(base + y * pitch)[x] += 1;
}

int main() {
  const int width = 37, height = 11, depth = 5;
  const size_t row = width * sizeof(int);
  std::vector<int> in(width * height * depth), out(in.size());
  for (size_t i = 0; i < in.size(); ++i) in[i] = int(i);

  int* flat;
  size_t pitch = 0;
  CHECK(cudaMallocPitch(&flat, &pitch, row, height));
  EXPECT(pitch >= row && pitch % 32 == 0);
  CHECK(cudaMemcpy2D(flat, pitch, in.data(), row, row, height, cudaMemcpyHostToDevice));
  add_one<<<dim3(2, height), 32>>>(reinterpret_cast<char*>(flat), pitch, width, height);
  CHECK(cudaMemcpy2D(out.data(), row, flat, pitch, row, height, cudaMemcpyDeviceToHost));
  for (int i = 0; i < width * height; ++i) EXPECT(out[i] == i + 1);
  CHECK(cudaMemset2D(flat, pitch, 0, row / 2, height));
  CHECK(cudaMemcpy2DAsync(out.data(), row, flat, pitch, row, height, cudaMemcpyDefault, nullptr));
  CHECK(cudaDeviceSynchronize());
  EXPECT(out[0] == 0 && out[width - 1] == width);

  cudaPitchedPtr box;
  const cudaExtent extent = {row, height, depth};
  CHECK(cudaMalloc3D(&box, extent));
  cudaMemcpy3DParms to = {};
  to.srcPtr = {in.data(), row, row, height};
  to.dstPtr = box;
  to.extent = extent;
  to.kind = cudaMemcpyHostToDevice;
  CHECK(cudaMemcpy3D(&to));
  add_one<<<dim3(2, height * depth), 32>>>(static_cast<char*>(box.ptr), box.pitch, width, height * depth);
  // A part in the middle comes back to its place.
  cudaMemcpy3DParms back = {};
  back.srcPtr = box;
  back.srcPos = {2 * sizeof(int), 1, 1};
  back.dstPtr = {out.data(), row, row, height};
  back.dstPos = back.srcPos;
  back.extent = {10 * sizeof(int), 5, 3};
  back.kind = cudaMemcpyDeviceToHost;
  for (int& value : out) value = -1;
  CHECK(cudaMemcpy3D(&back));
  for (int z = 0; z < depth; ++z) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const int i = (z * height + y) * width + x;
        const bool inside = x >= 2 && x < 12 && y >= 1 && y < 6 && z >= 1 && z < 4;
        EXPECT(out[i] == (inside ? i + 1 : -1));
      }
    }
  }
  CHECK(cudaMemset3D(box, 0xff, {row, 3, depth}));
  int value = 0;
  CHECK(cudaMemcpy(&value, static_cast<char*>(box.ptr) + box.pitch * (height + 2), sizeof value, cudaMemcpyDeviceToHost));
  EXPECT(value == -1);
  CHECK(cudaMemcpy(&value, static_cast<char*>(box.ptr) + box.pitch * (height + 3), sizeof value, cudaMemcpyDeviceToHost));
  EXPECT(value == (height + 3) * width + 1);
  return passed();
}
