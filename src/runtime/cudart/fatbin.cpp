#include "cudart/fatbin.h"

#include <cstdio>
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

// What the compiler says, for options of cuLibraryLoadData and cuLinkCreate. Programs cannot ask for it, so it goes to stderr.
struct Log {
  char text[2048] = "";
  CUjit_option options[2] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[2] = {text, reinterpret_cast<void*>(sizeof text)};  // NOLINT: how the API passes numbers

  cudaError_t tell(CUresult result) const {
    if (result != CUDA_SUCCESS && *text) std::fprintf(stderr, "anywarp: the program's device code cannot be loaded: %s\n", text);
    return error_of(result);
  }
};

cudaError_t load_image(const void* image, CUlibrary* library) {
  Log log;
  return log.tell(cuLibraryLoadData(library, image, log.options, log.values, 2, nullptr, nullptr, 0));
}

cudaError_t link(const std::vector<const void*>& images, CUlibrary* library) {
  CUlinkState state = nullptr;
  Log log;
  CUDART_TRY(cuLinkCreate_v2(2, log.options, log.values, &state));
  CUresult result = CUDA_SUCCESS;
  for (const void* image : images) {
    if (result != CUDA_SUCCESS) break;
    result = cuLinkAddData_v2(state, CU_JIT_INPUT_FATBINARY, const_cast<void*>(image), fatbin_bytes(image), "object", 0, nullptr, nullptr);
  }
  void* linked = nullptr;
  size_t bytes = 0;
  if (result == CUDA_SUCCESS) result = cuLinkComplete(state, &linked, &bytes);
  cudaError_t error = log.tell(result);
  if (error == cudaSuccess) error = load_image(linked, library);
  cuLinkDestroy(state);
  return error;
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
