// Manual: texture and surface references, deprecated since CUDA 11. A reference is a texture object that is made again whenever something about it
// changes; a module's `.texref` or `.surfref` variable holds the object's handle, which instructions that name the variable follow.
#pragma once

#include "driver/objects.h"

struct CUtexref_st : anywarp::driver::TypeStable<CUtexref_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::texture_reference;
  ~CUtexref_st();
  anywarp::driver::Magic magic = kMagic;
  std::uint64_t* variable = nullptr;  // the module's, if it is one's
  bool bound = false;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC description{};
  CUarray_format format = CU_AD_FORMAT_FLOAT;
  int channels = 1;
  CUtexObject object = 0;
  bool is_surface = false;
};

// One type serves both: a surface reference is one that holds a surface object.
struct CUsurfref_st : CUtexref_st {};

namespace anywarp::driver {

CUresult moduleGetTexRef(CUtexref* reference, CUmodule module, const char* name);
CUresult moduleGetSurfRef(CUsurfref* reference, CUmodule module, const char* name);
CUresult paramSetTexRef(CUfunction function, int unit, CUtexref reference);
CUresult texRefCreate(CUtexref* reference);
CUresult texRefDestroy(CUtexref reference);
CUresult texRefSetArray(CUtexref reference, CUarray array, unsigned flags);
CUresult texRefSetMipmappedArray(CUtexref reference, CUmipmappedArray array, unsigned flags);
CUresult texRefSetAddress_v2(size_t* offset, CUtexref reference, CUdeviceptr address, size_t bytes);
CUresult texRefSetAddress2D_v3(CUtexref reference, const CUDA_ARRAY_DESCRIPTOR* description, CUdeviceptr address, size_t pitch);
CUresult texRefSetFormat(CUtexref reference, CUarray_format format, int channels);
CUresult texRefSetAddressMode(CUtexref reference, int dimension, CUaddress_mode mode);
CUresult texRefSetFilterMode(CUtexref reference, CUfilter_mode mode);
CUresult texRefSetMipmapFilterMode(CUtexref reference, CUfilter_mode mode);
CUresult texRefSetMipmapLevelBias(CUtexref reference, float bias);
CUresult texRefSetMipmapLevelClamp(CUtexref reference, float least, float most);
CUresult texRefSetMaxAnisotropy(CUtexref reference, unsigned most);
CUresult texRefSetBorderColor(CUtexref reference, float* color);
CUresult texRefSetFlags(CUtexref reference, unsigned flags);
CUresult texRefGetAddress_v2(CUdeviceptr* address, CUtexref reference);
CUresult texRefGetArray(CUarray* array, CUtexref reference);
CUresult texRefGetMipmappedArray(CUmipmappedArray* array, CUtexref reference);
CUresult texRefGetAddressMode(CUaddress_mode* mode, CUtexref reference, int dimension);
CUresult texRefGetFilterMode(CUfilter_mode* mode, CUtexref reference);
CUresult texRefGetFormat(CUarray_format* format, int* channels, CUtexref reference);
CUresult texRefGetMipmapFilterMode(CUfilter_mode* mode, CUtexref reference);
CUresult texRefGetMipmapLevelBias(float* bias, CUtexref reference);
CUresult texRefGetMipmapLevelClamp(float* least, float* most, CUtexref reference);
CUresult texRefGetMaxAnisotropy(int* most, CUtexref reference);
CUresult texRefGetBorderColor(float* color, CUtexref reference);
CUresult texRefGetFlags(unsigned* flags, CUtexref reference);
CUresult surfRefSetArray(CUsurfref reference, CUarray array, unsigned flags);
CUresult surfRefGetArray(CUarray* array, CUsurfref reference);

}  // namespace anywarp::driver
