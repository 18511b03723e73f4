// Manual: memory management, arrays. An array's memory is rows of elements behind one another (x fastest), without padding between
// elements; only the runtime's texture code and copies look into it.
#pragma once

#include "driver/objects.h"

struct CUarray_st : anywarp::driver::TypeStable<CUarray_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::array;
  anywarp::driver::Magic magic = kMagic;
  int device = 0;
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  std::size_t element_bytes = 0;
  std::size_t rows = 1, slices = 1;  // at least one of each
  std::size_t pitch = 0;             // bytes of a row
  std::uint8_t* memory = nullptr;
  bool of_mipmap = false;            // a level: the mipmapped array's
  bool borrowed = false;             // the memory is external, not the array's
  std::size_t reserved = 0;          // bytes of addresses that the program maps memory into (CUDA_ARRAY3D_DEFERRED_MAPPING), else 0
};

struct CUmipmappedArray_st : anywarp::driver::TypeStable<CUmipmappedArray_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::mipmapped_array;
  anywarp::driver::Magic magic = kMagic;
  std::vector<std::unique_ptr<CUarray_st>> levels;
  std::shared_ptr<void> keep;  // what the memory lies in, if it is not the array's
};

namespace anywarp::driver {

CUresult arrayCreate(CUarray* array, const CUDA_ARRAY_DESCRIPTOR* descriptor);
CUresult array3DCreate(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor);
CUresult arrayDestroy(CUarray array);
CUresult arrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR* descriptor, CUarray array);
CUresult array3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR* descriptor, CUarray array);
CUresult arrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* requirements, CUarray array, CUdevice device);
CUresult arrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* properties, CUarray array);
CUresult arrayGetPlane(CUarray* plane, CUarray array, unsigned index);
CUresult mipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* requirements, CUmipmappedArray array, CUdevice device);
CUresult mipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES* properties, CUmipmappedArray array);
CUresult mipmappedArrayCreate(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor, unsigned levels);
CUresult mipmappedArrayGetLevel(CUarray* level_array, CUmipmappedArray array, unsigned level);
CUresult mipmappedArrayDestroy(CUmipmappedArray array);

// An array over memory that is there already, rows behind one another; `bytes`: how much of it there is. The memory must outlive the array.
CUresult make_array_over(int device, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, unsigned levels, std::uint8_t* memory, std::size_t bytes,
                         CUmipmappedArray* out);

// One side of a copy: the address of the element at byte x, row y, slice z, and the pitches. invalid_value if the shape leaves the array.
CUresult resolve_array(CUarray array, std::size_t x, std::size_t y, std::size_t z, const Copy& shape, std::uintptr_t* address, std::size_t* pitch,
                       std::size_t* slice);

}  // namespace anywarp::driver
