#include "cudart/fatbin.h"

#include <vector>

namespace anywarp::cudart {
namespace {

// As the toolkit's header fatbinary_section.h describes it.
struct Wrapper {
  int magic;
  int version;
  const void* data;
  const void* const* prelinked;  // version 2: ends with null
};
constexpr int kMagic = 0x466243B1;
constexpr int kLinkVersion = 2;

struct FatbinHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t header_bytes;
  std::uint64_t body_bytes;
};
constexpr std::uint32_t kFatbinMagic = 0xBA55ED50;

size_t fatbin_bytes(const void* data) {
  const auto* header = static_cast<const FatbinHeader*>(data);
  return header->magic == kFatbinMagic ? header->header_bytes + header->body_bytes : 0;
}

cudaError_t load_image(const void* image, CUlibrary* library) {
  return error_of(cuLibraryLoadData(library, image, nullptr, nullptr, 0, nullptr, nullptr, 0));
}

cudaError_t link(const std::vector<const void*>& images, CUlibrary* library) {
  CUlinkState state = nullptr;
  CUDART_TRY(cuLinkCreate_v2(0, nullptr, nullptr, &state));
  cudaError_t result = cudaSuccess;
  for (const void* image : images) {
    if (result != cudaSuccess) break;
    result = error_of(
        cuLinkAddData_v2(state, CU_JIT_INPUT_FATBINARY, const_cast<void*>(image), fatbin_bytes(image), "object", 0, nullptr, nullptr));
  }
  void* linked = nullptr;
  size_t bytes = 0;
  if (result == cudaSuccess) result = error_of(cuLinkComplete(state, &linked, &bytes));
  if (result == cudaSuccess) result = load_image(linked, library);
  cuLinkDestroy(state);
  return result;
}

}  // namespace

cudaError_t load_fatbin(const void* image, CUlibrary* library) {
  const auto* wrapper = static_cast<const Wrapper*>(image);
  if (wrapper->magic != kMagic) return cudaErrorInvalidKernelImage;
  std::vector<const void*> objects;
  if (wrapper->version == kLinkVersion && wrapper->prelinked) {
    for (const void* const* object = wrapper->prelinked; *object; ++object) objects.push_back(*object);
  }
  if (objects.empty()) return load_image(wrapper, library);
  return link(objects, library);
}

}  // namespace anywarp::cudart
