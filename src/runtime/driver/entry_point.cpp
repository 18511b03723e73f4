#include "driver/entry_point.h"

#include <algorithm>
#include <cstring>

#include "driver/initialization.h"
#include "driver_functions.h"
#include "driver_proc_address.h"

namespace anywarp::driver {

// Of the forms of `symbol`, the newest that `version` knows. The table is sorted by name, then from new to old.
CUresult getProcAddress_v2(const char* symbol, void** function, int version, cuuint64_t flags, CUdriverProcAddressQueryResult* status) {
  if (!symbol || !*symbol || !function) return CUDA_ERROR_INVALID_VALUE;
  constexpr cuuint64_t kFlags = CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  if ((flags & ~kFlags) != 0 || flags == kFlags || version > driver_version()) return CUDA_ERROR_INVALID_VALUE;
  *function = nullptr;
  const ProcAddress* row = std::lower_bound(std::begin(kProcAddresses), std::end(kProcAddresses), symbol,
                                            [](const ProcAddress& p, const char* name) { return std::strcmp(p.name, name) < 0; });
  CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  const bool per_thread = flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
  for (; row != std::end(kProcAddresses) && std::strcmp(row->name, symbol) == 0; ++row) {
    found = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
    if (row->since > version) continue;
    *function = per_thread && row->twin && row->twin_since <= version ? row->twin : row->legacy;
    found = CU_GET_PROC_ADDRESS_SUCCESS;
    break;
  }
  if (status) *status = found;
  return CUDA_SUCCESS;
}

CUresult getProcAddress_v1(const char* symbol, void** function, int version, cuuint64_t flags) {
  ANYWARP_TRY(getProcAddress_v2(symbol, function, version, flags, nullptr));
  return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult getExportTable(const void** table, const CUuuid*) {
  if (!table) return CUDA_ERROR_INVALID_VALUE;
  *table = nullptr;
  return CUDA_ERROR_NOT_FOUND;
}

}  // namespace anywarp::driver
