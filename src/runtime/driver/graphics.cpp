#include "driver/graphics.h"

#include <dlfcn.h>

#include <algorithm>
#include <map>

#include "driver/context.h"
#include "driver/device.h"
#include "driver/memory.h"
#include "driver/memory_array.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

// OpenGL's numbers (Khronos' public registry).
enum : unsigned {
  kNoError = 0,
  kVersion = 0x1F02,
  kArrayBuffer = 0x8892,
  kArrayBufferBinding = 0x8894,
  kBufferSize = 0x8764,
  kTexture2d = 0x0DE1,
  kTextureBinding2d = 0x8069,
  kTextureRectangle = 0x84F5,
  kTextureBindingRectangle = 0x84F6,
  kTextureWidth = 0x1000,
  kTextureHeight = 0x1001,
  kTextureInternalFormat = 0x1003,
  kUnpackAlignment = 0x0CF5,
  kPackAlignment = 0x0D05,
};

// Texture formats that an array can have, and how OpenGL names the same texels outside.
struct Format {
  unsigned internal, format, type;
  CUarray_format element;
  unsigned channels;
};
constexpr Format kFormats[] = {
    {0x8229, 0x1903, 0x1401, CU_AD_FORMAT_UNSIGNED_INT8, 1},   // R8
    {0x822B, 0x8227, 0x1401, CU_AD_FORMAT_UNSIGNED_INT8, 2},   // RG8
    {0x8058, 0x1908, 0x1401, CU_AD_FORMAT_UNSIGNED_INT8, 4},   // RGBA8
    {0x8D7C, 0x8D99, 0x1401, CU_AD_FORMAT_UNSIGNED_INT8, 4},   // RGBA8UI
    {0x822A, 0x1903, 0x1403, CU_AD_FORMAT_UNSIGNED_INT16, 1},  // R16
    {0x805B, 0x1908, 0x1403, CU_AD_FORMAT_UNSIGNED_INT16, 4},  // RGBA16
    {0x8236, 0x8D94, 0x1405, CU_AD_FORMAT_UNSIGNED_INT32, 1},  // R32UI
    {0x8D70, 0x8D99, 0x1405, CU_AD_FORMAT_UNSIGNED_INT32, 4},  // RGBA32UI
    {0x8235, 0x8D94, 0x1404, CU_AD_FORMAT_SIGNED_INT32, 1},    // R32I
    {0x8D82, 0x8D99, 0x1404, CU_AD_FORMAT_SIGNED_INT32, 4},    // RGBA32I
    {0x881A, 0x1908, 0x140B, CU_AD_FORMAT_HALF, 4},            // RGBA16F
    {0x822E, 0x1903, 0x1406, CU_AD_FORMAT_FLOAT, 1},           // R32F
    {0x8230, 0x8227, 0x1406, CU_AD_FORMAT_FLOAT, 2},           // RG32F
    {0x8814, 0x1908, 0x1406, CU_AD_FORMAT_FLOAT, 4},           // RGBA32F
};

struct OpenGl {
  const unsigned char* (*get_string)(unsigned);
  unsigned (*get_error)();
  void (*get_integer)(unsigned, int*);
  void (*bind_buffer)(unsigned, unsigned);
  void (*get_buffer_parameter)(unsigned, unsigned, int*);
  void (*get_buffer_data)(unsigned, std::intptr_t, std::intptr_t, void*);
  void (*set_buffer_data)(unsigned, std::intptr_t, std::intptr_t, const void*);
  void (*bind_texture)(unsigned, unsigned);
  void (*get_level_parameter)(unsigned, int, unsigned, int*);
  void (*get_image)(unsigned, int, unsigned, unsigned, void*);
  void (*set_image)(unsigned, int, int, int, int, int, unsigned, unsigned, const void*);
  void (*pixel_store)(unsigned, int);

  bool is_complete() const {
    return get_string && get_error && get_integer && bind_buffer && get_buffer_parameter && get_buffer_data && set_buffer_data && bind_texture &&
           get_level_parameter && get_image && set_image && pixel_store;
  }
};

void* find(const char* name) {
  if (void* found = dlsym(RTLD_DEFAULT, name)) return found;
  using Lookup = void* (*)(const char*);
  for (const char* lookup : {"eglGetProcAddress", "glXGetProcAddressARB"}) {
    if (auto* function = reinterpret_cast<Lookup>(dlsym(RTLD_DEFAULT, lookup))) {
      if (void* found = function(name)) return found;
    }
  }
  return nullptr;
}

template <typename Function>
void load(Function*& function, const char* name) {
  function = reinterpret_cast<Function*>(find(name));
}

// The program's OpenGL with a context that is current in this thread.
CUresult use_opengl(const OpenGl** out) {
  static OpenGl gl{};
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!gl.is_complete()) {  // the program may load it later
    load(gl.get_string, "glGetString"), load(gl.get_error, "glGetError"), load(gl.get_integer, "glGetIntegerv");
    load(gl.bind_buffer, "glBindBuffer"), load(gl.get_buffer_parameter, "glGetBufferParameteriv");
    load(gl.get_buffer_data, "glGetBufferSubData"), load(gl.set_buffer_data, "glBufferSubData");
    load(gl.bind_texture, "glBindTexture"), load(gl.get_level_parameter, "glGetTexLevelParameteriv");
    load(gl.get_image, "glGetTexImage"), load(gl.set_image, "glTexSubImage2D"), load(gl.pixel_store, "glPixelStorei");
  }
  if (!gl.is_complete() || !gl.get_string(kVersion)) return CUDA_ERROR_INVALID_GRAPHICS_CONTEXT;
  *out = &gl;
  return CUDA_SUCCESS;
}

// While it lives an object is bound; then what was bound before.
class Bound {
 public:
  Bound(const OpenGl& gl, const CUgraphicsResource_st& r) : gl_(gl), target_(r.target) {
    unsigned what = kArrayBufferBinding;
    if (target_) what = target_ == kTexture2d ? kTextureBinding2d : kTextureBindingRectangle;
    gl_.get_integer(what, &before_);
    bind(r.name);
  }
  ~Bound() { bind(static_cast<unsigned>(before_)); }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

 private:
  void bind(unsigned name) const { target_ ? gl_.bind_texture(target_, name) : gl_.bind_buffer(kArrayBuffer, name); }
  const OpenGl& gl_;
  const unsigned target_;
  int before_ = 0;
};

CUresult result_of(const OpenGl& gl) { return gl.get_error() == kNoError ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; }

void forget_errors(const OpenGl& gl) {
  for (int i = 0; i < 16 && gl.get_error() != kNoError; ++i) {
  }
}

// Copies between OpenGL and device memory; the stream has come to rest.
CUresult copy(const OpenGl& gl, const CUgraphicsResource_st& r, bool to_device) {
  forget_errors(gl);
  const Bound bound(gl, r);
  if (!r.target) {
    to_device ? gl.get_buffer_data(kArrayBuffer, 0, static_cast<std::intptr_t>(r.bytes), pointer(r.buffer))
              : gl.set_buffer_data(kArrayBuffer, 0, static_cast<std::intptr_t>(r.bytes), pointer(r.buffer));
    return result_of(gl);
  }
  const unsigned which = to_device ? kPackAlignment : kUnpackAlignment;
  int alignment = 4;
  gl.get_integer(which, &alignment);
  gl.pixel_store(which, 1);  // an array's rows follow one another
  const CUDA_ARRAY3D_DESCRIPTOR& d = r.image->descriptor;
  to_device ? gl.get_image(r.target, 0, r.format, r.type, r.image->memory)
            : gl.set_image(r.target, 0, 0, 0, static_cast<int>(d.Width), static_cast<int>(d.Height), r.format, r.type, r.image->memory);
  gl.pixel_store(which, alignment);
  return result_of(gl);
}

CUresult check_all(unsigned count, CUgraphicsResource* resources, bool mapped) {
  if (count == 0 || !resources) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    if (!is_valid(resources[i])) return CUDA_ERROR_INVALID_HANDLE;
    if (resources[i]->mapped != mapped) return mapped ? CUDA_ERROR_NOT_MAPPED : CUDA_ERROR_ALREADY_MAPPED;
  }
  return CUDA_SUCCESS;
}

// Buffers that were registered by the old interface.
struct Buffers {
  std::mutex mutex;
  std::map<GLuint, CUgraphicsResource> all;
};
Buffers& buffers() {
  static auto* b = new Buffers;
  return *b;
}

CUresult find_buffer(GLuint name, CUgraphicsResource* resource) {
  Buffers& b = buffers();
  const std::lock_guard lock(b.mutex);
  const auto found = b.all.find(name);
  if (found == b.all.end()) return CUDA_ERROR_INVALID_VALUE;
  *resource = found->second;
  return CUDA_SUCCESS;
}

// Checks resources that are all mapped, or all not, and waits for what the stream does with them.
CUresult begin_exchange(unsigned count, CUgraphicsResource* resources, bool are_mapped, CUstream stream, const OpenGl** gl) {
  ANYWARP_TRY(check_all(count, resources, are_mapped));
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  ANYWARP_TRY(use_opengl(gl));
  return api(use.stream->synchronize());
}

}  // namespace

CUresult graphicsGLRegisterBuffer(CUgraphicsResource* resource, GLuint buffer, unsigned flags) {
  constexpr unsigned kFlags = CU_GRAPHICS_REGISTER_FLAGS_READ_ONLY | CU_GRAPHICS_REGISTER_FLAGS_WRITE_DISCARD;
  if (!resource || (flags & ~kFlags) != 0 || flags == kFlags) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  const OpenGl* gl = nullptr;
  ANYWARP_TRY(use_opengl(&gl));
  auto made = std::make_unique<CUgraphicsResource_st>();
  made->name = buffer;
  made->map_flags = flags;
  forget_errors(*gl);
  int bytes = 0;
  {
    const Bound bound(*gl, *made);
    gl->get_buffer_parameter(kArrayBuffer, kBufferSize, &bytes);
    if (result_of(*gl) != CUDA_SUCCESS || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;  // no buffer of that name, or one without memory
  }
  made->bytes = static_cast<std::size_t>(bytes);
  void* memory = nullptr;
  ANYWARP_TRY(api(arena().allocate(context->device, made->bytes, 256, memory::Kind::mapped, nullptr, 0, &memory)));
  made->buffer = reinterpret_cast<CUdeviceptr>(memory);
  *resource = made.release();
  return CUDA_SUCCESS;
}

CUresult graphicsGLRegisterImage(CUgraphicsResource* resource, GLuint image, GLenum target, unsigned flags) {
  constexpr unsigned kMap = CU_GRAPHICS_REGISTER_FLAGS_READ_ONLY | CU_GRAPHICS_REGISTER_FLAGS_WRITE_DISCARD;
  constexpr unsigned kFlags = kMap | CU_GRAPHICS_REGISTER_FLAGS_SURFACE_LDST | CU_GRAPHICS_REGISTER_FLAGS_TEXTURE_GATHER;
  if (!resource || (flags & ~kFlags) != 0 || (flags & kMap) == kMap) return CUDA_ERROR_INVALID_VALUE;
  if (target != kTexture2d && target != kTextureRectangle) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  const OpenGl* gl = nullptr;
  ANYWARP_TRY(use_opengl(&gl));
  auto made = std::make_unique<CUgraphicsResource_st>();
  made->name = image, made->target = target;
  made->map_flags = flags & kMap;
  int width = 0, height = 0, internal = 0;
  forget_errors(*gl);
  {
    const Bound bound(*gl, *made);
    gl->get_level_parameter(target, 0, kTextureWidth, &width);
    gl->get_level_parameter(target, 0, kTextureHeight, &height);
    gl->get_level_parameter(target, 0, kTextureInternalFormat, &internal);
    if (result_of(*gl) != CUDA_SUCCESS || width <= 0 || height <= 0) return CUDA_ERROR_INVALID_VALUE;
  }
  const auto* format = std::find_if(std::begin(kFormats), std::end(kFormats), [&](const Format& f) { return f.internal == static_cast<unsigned>(internal); });
  if (format == std::end(kFormats)) return CUDA_ERROR_INVALID_VALUE;
  made->format = format->format, made->type = format->type;
  const CUDA_ARRAY3D_DESCRIPTOR d{static_cast<std::size_t>(width), static_cast<std::size_t>(height), 0, format->element, format->channels,
                                  flags & CU_GRAPHICS_REGISTER_FLAGS_SURFACE_LDST ? unsigned{CUDA_ARRAY3D_SURFACE_LDST} : 0u};
  ANYWARP_TRY(array3DCreate(&made->image, &d));
  *resource = made.release();
  return CUDA_SUCCESS;
}

CUresult graphicsUnregisterResource(CUgraphicsResource resource) {
  if (!is_valid(resource)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(api(context->engine->synchronize()));  // work may use it still
  if (resource->buffer) [[maybe_unused]] const Result freed = arena().free(pointer(resource->buffer));
  if (resource->levels) [[maybe_unused]] const CUresult destroyed = mipmappedArrayDestroy(resource->levels);
  if (resource->image) [[maybe_unused]] const CUresult destroyed = arrayDestroy(resource->image);
  resource->magic = Magic::dead;
  delete resource;
  return CUDA_SUCCESS;
}

CUresult graphicsResourceSetMapFlags(CUgraphicsResource resource, unsigned flags) {
  if (flags > CU_GRAPHICS_MAP_RESOURCE_FLAGS_WRITE_DISCARD) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(resource)) return CUDA_ERROR_INVALID_HANDLE;
  if (resource->mapped) return CUDA_ERROR_ALREADY_MAPPED;
  resource->map_flags = flags;
  return CUDA_SUCCESS;
}

// What OpenGL was told before is done before the stream goes on, as promised: the copies are made here and now.
CUresult graphicsMapResources(unsigned count, CUgraphicsResource* resources, CUstream stream) {
  const OpenGl* gl = nullptr;
  ANYWARP_TRY(begin_exchange(count, resources, false, stream, &gl));
  for (unsigned i = 0; i < count; ++i) {
    CUgraphicsResource_st& r = *resources[i];
    if (r.map_flags != CU_GRAPHICS_MAP_RESOURCE_FLAGS_WRITE_DISCARD) ANYWARP_TRY(copy(*gl, r, true));
    r.mapped = true;
  }
  return CUDA_SUCCESS;
}

CUresult graphicsUnmapResources(unsigned count, CUgraphicsResource* resources, CUstream stream) {
  const OpenGl* gl = nullptr;
  ANYWARP_TRY(begin_exchange(count, resources, true, stream, &gl));
  for (unsigned i = 0; i < count; ++i) {
    CUgraphicsResource_st& r = *resources[i];
    r.mapped = false;
    if (r.map_flags != CU_GRAPHICS_MAP_RESOURCE_FLAGS_READ_ONLY) ANYWARP_TRY(copy(*gl, r, false));
  }
  return CUDA_SUCCESS;
}

CUresult graphicsResourceGetMappedPointer_v2(CUdeviceptr* address, size_t* bytes, CUgraphicsResource resource) {
  if (!is_valid(resource)) return CUDA_ERROR_INVALID_HANDLE;
  if (!resource->buffer) return CUDA_ERROR_NOT_MAPPED_AS_POINTER;
  if (!resource->mapped) return CUDA_ERROR_NOT_MAPPED;
  if (address) *address = resource->buffer;
  if (bytes) *bytes = resource->bytes;
  return CUDA_SUCCESS;
}

CUresult graphicsSubResourceGetMappedArray(CUarray* array, CUgraphicsResource resource, unsigned index, unsigned level) {
  if (!array) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(resource)) return CUDA_ERROR_INVALID_HANDLE;
  if (!resource->image) return CUDA_ERROR_NOT_MAPPED_AS_ARRAY;
  if (!resource->mapped) return CUDA_ERROR_NOT_MAPPED;
  if (index != 0 || level != 0) return CUDA_ERROR_INVALID_VALUE;
  *array = resource->image;
  return CUDA_SUCCESS;
}

CUresult graphicsResourceGetMappedMipmappedArray(CUmipmappedArray* array, CUgraphicsResource resource) {
  if (!array) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(resource)) return CUDA_ERROR_INVALID_HANDLE;
  if (!resource->image) return CUDA_ERROR_NOT_MAPPED_AS_ARRAY;
  if (!resource->mapped) return CUDA_ERROR_NOT_MAPPED;
  if (!resource->levels) {
    const CUarray_st& image = *resource->image;
    ANYWARP_TRY(make_array_over(image.device, image.descriptor, 1, image.memory, image.pitch * image.rows, &resource->levels));
  }
  *array = resource->levels;
  return CUDA_SUCCESS;
}

// Whichever renderer the context has, every device serves it.
CUresult gLGetDevices(unsigned* count, CUdevice* devices, unsigned room, CUGLDeviceList list) {
  if (!count || (room > 0 && !devices) || list < CU_GL_DEVICE_LIST_ALL || list > CU_GL_DEVICE_LIST_NEXT_FRAME) return CUDA_ERROR_INVALID_VALUE;
  const OpenGl* gl = nullptr;
  ANYWARP_TRY(use_opengl(&gl));
  *count = static_cast<unsigned>(device_count());
  for (unsigned i = 0; i < std::min(*count, room); ++i) devices[i] = static_cast<CUdevice>(i);
  return CUDA_SUCCESS;
}

CUresult gLCtxCreate(CUcontext* context, unsigned flags, CUdevice device) { return ctxCreate_v2(context, flags, device); }

CUresult gLInit() { return CUDA_SUCCESS; }

CUresult gLRegisterBufferObject(GLuint buffer) {
  Buffers& b = buffers();
  {
    const std::lock_guard lock(b.mutex);
    if (b.all.contains(buffer)) return CUDA_ERROR_ALREADY_MAPPED;
  }
  CUgraphicsResource resource = nullptr;
  ANYWARP_TRY(graphicsGLRegisterBuffer(&resource, buffer, 0));
  const std::lock_guard lock(b.mutex);
  b.all[buffer] = resource;
  return CUDA_SUCCESS;
}

CUresult gLMapBufferObjectAsync_v2(CUdeviceptr* address, size_t* bytes, GLuint buffer, CUstream stream) {
  CUgraphicsResource resource = nullptr;
  ANYWARP_TRY(find_buffer(buffer, &resource));
  ANYWARP_TRY(graphicsMapResources(1, &resource, stream));
  return graphicsResourceGetMappedPointer_v2(address, bytes, resource);
}

CUresult gLMapBufferObject_v2(CUdeviceptr* address, size_t* bytes, GLuint buffer, CUstream stream) {
  return gLMapBufferObjectAsync_v2(address, bytes, buffer, stream);
}

CUresult gLUnmapBufferObjectAsync(GLuint buffer, CUstream stream) {
  CUgraphicsResource resource = nullptr;
  ANYWARP_TRY(find_buffer(buffer, &resource));
  return graphicsUnmapResources(1, &resource, stream);
}

CUresult gLUnmapBufferObject(GLuint buffer) { return gLUnmapBufferObjectAsync(buffer, nullptr); }

CUresult gLUnregisterBufferObject(GLuint buffer) {
  CUgraphicsResource resource = nullptr;
  ANYWARP_TRY(find_buffer(buffer, &resource));
  {
    Buffers& b = buffers();
    const std::lock_guard lock(b.mutex);
    b.all.erase(buffer);
  }
  return graphicsUnregisterResource(resource);
}

CUresult gLSetBufferObjectMapFlags(GLuint buffer, unsigned flags) {
  CUgraphicsResource resource = nullptr;
  ANYWARP_TRY(find_buffer(buffer, &resource));
  return graphicsResourceSetMapFlags(resource, flags);
}

}  // namespace anywarp::driver
