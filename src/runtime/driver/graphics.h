// Manual: graphics interoperability, OpenGL. Buffers and two-dimensional textures of the calling thread's OpenGL context, by copying: mapping
// brings the contents into device memory, unmapping takes them back. Programs bring their own libGL; its functions are looked up in the
// process, nothing is linked. Other graphics APIs (EGL streams, VDPAU) share objects of a GPU's driver that do not exist here.
#pragma once

#include "driver/objects.h"

struct CUgraphicsResource_st : anywarp::driver::TypeStable<CUgraphicsResource_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::graphics_resource;
  anywarp::driver::Magic magic = kMagic;
  unsigned name = 0;    // OpenGL's
  unsigned target = 0;  // of a texture; 0: a buffer
  unsigned map_flags = 0;
  bool mapped = false;
  CUdeviceptr buffer = 0;  // a buffer's memory
  std::size_t bytes = 0;   // likewise
  CUarray image = nullptr;
  CUmipmappedArray levels = nullptr;  // the image as one level, made when asked for
  unsigned format = 0, type = 0;      // how OpenGL is to give out texels
};

namespace anywarp::driver {

CUresult graphicsUnregisterResource(CUgraphicsResource resource);
CUresult graphicsSubResourceGetMappedArray(CUarray* array, CUgraphicsResource resource, unsigned index, unsigned level);
CUresult graphicsResourceGetMappedMipmappedArray(CUmipmappedArray* array, CUgraphicsResource resource);
CUresult graphicsResourceGetMappedPointer_v2(CUdeviceptr* address, size_t* bytes, CUgraphicsResource resource);
CUresult graphicsResourceSetMapFlags(CUgraphicsResource resource, unsigned flags);
CUresult graphicsMapResources(unsigned count, CUgraphicsResource* resources, CUstream stream);
CUresult graphicsUnmapResources(unsigned count, CUgraphicsResource* resources, CUstream stream);
CUresult graphicsGLRegisterBuffer(CUgraphicsResource* resource, GLuint buffer, unsigned flags);
CUresult graphicsGLRegisterImage(CUgraphicsResource* resource, GLuint image, GLenum target, unsigned flags);
CUresult gLGetDevices(unsigned* count, CUdevice* devices, unsigned room, CUGLDeviceList list);
CUresult gLCtxCreate(CUcontext* context, unsigned flags, CUdevice device);

// The interface before CUDA 3.0, which names buffers by OpenGL's numbers.
CUresult gLInit();
CUresult gLRegisterBufferObject(GLuint buffer);
CUresult gLMapBufferObject_v2(CUdeviceptr* address, size_t* bytes, GLuint buffer, CUstream stream);
CUresult gLMapBufferObjectAsync_v2(CUdeviceptr* address, size_t* bytes, GLuint buffer, CUstream stream);
CUresult gLUnmapBufferObject(GLuint buffer);
CUresult gLUnmapBufferObjectAsync(GLuint buffer, CUstream stream);
CUresult gLUnregisterBufferObject(GLuint buffer);
CUresult gLSetBufferObjectMapFlags(GLuint buffer, unsigned flags);

}  // namespace anywarp::driver
