#include "driver/linker.h"

#include "driver/device.h"

struct CUlinkState_st : anywarp::driver::TypeStable<CUlinkState_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::link;
  anywarp::driver::Magic magic = kMagic;
  CUctx_st* context = nullptr;
  anywarp::driver::JitOptions options;
  std::vector<std::pair<std::string, anywarp::Bytes>> inputs;
  anywarp::Bytes image;  // of cuLinkComplete; with a zero behind it, so that it is a C string
};

namespace anywarp::driver {
namespace {

CUresult add(CUlinkState_st& state, CUjitInputType type, Bytes data, const char* name) {
  if (type >= CU_JIT_NUM_INPUT_TYPES) return CUDA_ERROR_INVALID_VALUE;
  while (type == CU_JIT_INPUT_PTX && !data.empty() && data.back() == 0) data.pop_back();  // sizes count the string's end or not
  if (data.empty()) return CUDA_ERROR_INVALID_IMAGE;
  if (!state.image.empty()) return CUDA_ERROR_INVALID_VALUE;  // complete already
  state.inputs.emplace_back(name ? name : "<input " + std::to_string(state.inputs.size() + 1) + ">", std::move(data));
  return CUDA_SUCCESS;
}

}  // namespace

CUresult linkCreate(unsigned count, CUjit_option* options, void** values, CUlinkState* state) {
  if (!state) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  auto made = std::make_unique<CUlinkState_st>();
  made->context = context;
  ANYWARP_TRY(made->options.read(count, options, values));
  *state = made.release();
  return CUDA_SUCCESS;
}

CUresult linkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name, unsigned, CUjit_option*, void**) {
  if (!is_valid(state)) return CUDA_ERROR_INVALID_HANDLE;
  if (!data || size == 0) return CUDA_ERROR_INVALID_VALUE;
  const auto* first = static_cast<const std::uint8_t*>(data);
  return add(*state, type, Bytes(first, first + size), name);
}

CUresult linkAddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned, CUjit_option*, void**) {
  if (!is_valid(state)) return CUDA_ERROR_INVALID_HANDLE;
  if (!path) return CUDA_ERROR_INVALID_VALUE;
  Bytes file;
  ANYWARP_TRY(read_file(path, &file));
  return add(*state, type, std::move(file), path);
}

CUresult linkComplete(CUlinkState state, void** image, size_t* size) {
  if (!is_valid(state)) return CUDA_ERROR_INVALID_HANDLE;
  if (!image) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_context(state->context));
  std::vector<std::pair<std::string, ByteSpan>> inputs(state->inputs.begin(), state->inputs.end());
  std::string log;
  const unsigned capability = find_device(state->context->device)->capability();
  CompilerClient& compiler = state->context->engine->engine().compiler();
  const CUresult result = api(compiler.link(inputs, capability, state->options.most_registers(), &state->image, &log));
  state->options.finish(log, result != CUDA_SUCCESS);
  ANYWARP_TRY(result);
  const std::size_t bytes = state->image.size();
  state->image.push_back(0);
  *image = state->image.data();
  if (size) *size = bytes;
  return CUDA_SUCCESS;
}

CUresult linkDestroy(CUlinkState state) {
  if (!is_valid(state)) return CUDA_ERROR_INVALID_HANDLE;
  state->magic = Magic::dead;
  delete state;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
