#include "driver/memory_managed.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/stream_capture.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older kernels refuse it
#endif

namespace anywarp::driver {
namespace {

struct Place {
  CUmemLocationType type = CU_MEM_LOCATION_TYPE_INVALID;
  int id = 0;
  bool operator==(const Place&) const = default;
};

struct Advice {
  bool read_mostly = false;
  Place preferred, prefetched;
  bool accessed_by_host = false;
  std::uint64_t accessed_by = 0;  // a bit a device
};
static_assert(memory::Arena::kMaxDevices <= 64);

// Ranges without overlap that something has been said of, by their start.
class Book {
 public:
  template <typename Change>
  void change(CUdeviceptr address, std::size_t bytes, const Change& change) {
    const std::lock_guard lock(mutex_);
    const CUdeviceptr end = address + bytes;
    split(address), split(end);
    CUdeviceptr at = address;
    while (at < end) {
      auto next = ranges_.lower_bound(at);
      if (next == ranges_.end() || next->first != at) {
        const CUdeviceptr until = next == ranges_.end() ? end : std::min(end, next->first);
        next = ranges_.emplace(at, Range{until, {}}).first;
      }
      change(next->second.advice);
      at = next->second.end;
    }
  }
  // A value that holds for all of the range, else `fallback`.
  template <typename Value, typename Get>
  Value common(CUdeviceptr address, std::size_t bytes, Value fallback, const Get& get) {
    const std::lock_guard lock(mutex_);
    const CUdeviceptr end = address + bytes;
    auto range = ranges_.upper_bound(address);
    if (range != ranges_.begin()) --range;
    CUdeviceptr at = address;
    bool first = true;
    Value value = fallback;
    for (; range != ranges_.end() && at < end; ++range) {
      if (range->second.end <= at) continue;
      if (range->first > at) return fallback;  // nothing was said of a part
      const Value here = get(range->second.advice);
      if (!first && !(here == value)) return fallback;
      value = here, first = false;
      at = range->second.end;
    }
    return at >= end ? value : fallback;
  }
  void forget(CUdeviceptr address, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (ranges_.empty()) return;
    split(address), split(address + bytes);
    ranges_.erase(ranges_.lower_bound(address), ranges_.lower_bound(address + bytes));
  }

 private:
  struct Range {
    CUdeviceptr end;
    Advice advice;
  };
  // Afterwards a range may start or end at `at`, but not reach over it.
  void split(CUdeviceptr at) {
    auto range = ranges_.lower_bound(at);
    if (range == ranges_.begin()) return;
    --range;
    if (range->second.end <= at) return;
    ranges_.emplace(at, range->second);
    range->second.end = at;
  }

  std::mutex mutex_;
  std::map<CUdeviceptr, Range> ranges_;
};

Book& book() {
  static auto* all = new Book;
  return *all;
}

// The manual: prefetching and advice are for managed memory; here system memory does as well (PAGEABLE_MEMORY_ACCESS is 1).
CUresult check_range(CUdeviceptr address, std::size_t bytes) {
  if (!address || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  memory::Allocation a;
  if (!arena().lookup(pointer(address), &a)) return arena().in_range(pointer(address)) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  if (bytes > a.base + a.size - address || a.kind != memory::Kind::managed) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

CUresult check_location(const CUmemLocation& location) {
  switch (location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE: return find_device(location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT: return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUmemLocation location_of(CUdevice device) {
  CUmemLocation location{};
  location.type = device == CU_DEVICE_CPU ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE;
  location.id = device == CU_DEVICE_CPU ? 0 : device;
  return location;
}

Place place_of(const CUmemLocation& location) { return {location.type, location.type == CU_MEM_LOCATION_TYPE_HOST ? 0 : location.id}; }

// The older form of a place: a device's number, CU_DEVICE_CPU or CU_DEVICE_INVALID.
int device_of(const Place& place) {
  if (place.type == CU_MEM_LOCATION_TYPE_DEVICE) return place.id;
  return place.type == CU_MEM_LOCATION_TYPE_INVALID ? CU_DEVICE_INVALID : CU_DEVICE_CPU;
}

// Whole pages inside a range.
void advise_pages(CUdeviceptr address, std::size_t bytes, int advice) {
  static const auto page = static_cast<CUdeviceptr>(sysconf(_SC_PAGESIZE));
  const CUdeviceptr first = (address + page - 1) / page * page, last = (address + bytes) / page * page;
  if (first < last) madvise(pointer(first), last - first, advice);
}

CUresult prefetch(const StreamUse& use, CUdeviceptr address, std::size_t bytes, const CUmemLocation& location) {
  ANYWARP_TRY(check_range(address, bytes));
  ANYWARP_TRY(check_location(location));
  book().change(address, bytes, [&](Advice& a) { a.prefetched = place_of(location); });
  return api(use.stream->task([=](Result) { advise_pages(address, bytes, MADV_POPULATE_WRITE); }));
}

CUresult discard(const StreamUse& use, CUdeviceptr address, std::size_t bytes) {
  ANYWARP_TRY(check_range(address, bytes));
  memory::Allocation a;
  // Memory of the program's own may be a file or another process's: its contents stay.
  if (!arena().lookup(pointer(address), &a)) return CUDA_SUCCESS;
  return api(use.stream->task([=](Result) { advise_pages(address, bytes, MADV_DONTNEED); }));
}

CUresult use_for_batch(CUstream stream, unsigned long long flags, StreamUse* use) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(use_stream(stream, use));
  if (!use->object) return CUDA_ERROR_INVALID_VALUE;  // the legacy default stream is ruled out
  return use->capture() ? invalidate(*use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) : CUDA_SUCCESS;
}

CUresult check_batch(const CUdeviceptr* addresses, const size_t* sizes, std::size_t count) {
  if (!addresses || !sizes || count == 0) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) ANYWARP_TRY(check_range(addresses[i], sizes[i]));
  return CUDA_SUCCESS;
}

CUresult check_locations(const CUmemLocation* locations, const size_t* indices, std::size_t location_count, std::size_t count) {
  if (!locations || !indices || location_count == 0 || location_count > count || indices[0] != 0) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < location_count; ++i) {
    if (indices[i] >= count || (i > 0 && indices[i] <= indices[i - 1])) return CUDA_ERROR_INVALID_VALUE;
    ANYWARP_TRY(check_location(locations[i]));
  }
  return CUDA_SUCCESS;
}

}  // namespace

void forget_advice(CUdeviceptr address, std::size_t bytes) { book().forget(address, bytes); }

CUresult memPrefetchAsync_v2(CUdeviceptr address, size_t bytes, CUmemLocation location, unsigned flags, CUstream stream) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  return prefetch(use, address, bytes, location);
}

CUresult memPrefetchAsync_v1(CUdeviceptr address, size_t bytes, CUdevice destination, CUstream stream) {
  return memPrefetchAsync_v2(address, bytes, location_of(destination), 0, stream);
}

CUresult memPrefetchBatchAsync(CUdeviceptr* addresses, size_t* sizes, size_t count, CUmemLocation* locations, size_t* location_indices,
                               size_t location_count, unsigned long long flags, CUstream stream) {
  ANYWARP_TRY(check_batch(addresses, sizes, count));
  ANYWARP_TRY(check_locations(locations, location_indices, location_count, count));
  StreamUse use;
  ANYWARP_TRY(use_for_batch(stream, flags, &use));
  std::size_t which = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (which + 1 < location_count && location_indices[which + 1] == i) ++which;
    ANYWARP_TRY(prefetch(use, addresses[i], sizes[i], locations[which]));
  }
  return CUDA_SUCCESS;
}

CUresult memDiscardBatchAsync(CUdeviceptr* addresses, size_t* sizes, size_t count, unsigned long long flags, CUstream stream) {
  ANYWARP_TRY(check_batch(addresses, sizes, count));
  StreamUse use;
  ANYWARP_TRY(use_for_batch(stream, flags, &use));
  for (std::size_t i = 0; i < count; ++i) ANYWARP_TRY(discard(use, addresses[i], sizes[i]));
  return CUDA_SUCCESS;
}

CUresult memDiscardAndPrefetchBatchAsync(CUdeviceptr* addresses, size_t* sizes, size_t count, CUmemLocation* locations, size_t* location_indices,
                                         size_t location_count, unsigned long long flags, CUstream stream) {
  ANYWARP_TRY(check_batch(addresses, sizes, count));
  ANYWARP_TRY(check_locations(locations, location_indices, location_count, count));
  ANYWARP_TRY(memDiscardBatchAsync(addresses, sizes, count, flags, stream));
  return memPrefetchBatchAsync(addresses, sizes, count, locations, location_indices, location_count, flags, stream);
}

CUresult memAdvise_v2(CUdeviceptr address, size_t bytes, CUmem_advise advice, CUmemLocation location) {
  ANYWARP_TRY(check_range(address, bytes));
  if (advice < CU_MEM_ADVISE_SET_READ_MOSTLY || advice > CU_MEM_ADVISE_UNSET_ACCESSED_BY) return CUDA_ERROR_INVALID_VALUE;
  const bool takes_location = advice == CU_MEM_ADVISE_SET_PREFERRED_LOCATION || advice == CU_MEM_ADVISE_SET_ACCESSED_BY || advice == CU_MEM_ADVISE_UNSET_ACCESSED_BY;
  if (takes_location) ANYWARP_TRY(check_location(location));
  book().change(address, bytes, [&](Advice& a) {
    const bool set = advice == CU_MEM_ADVISE_SET_ACCESSED_BY;
    switch (advice) {
      case CU_MEM_ADVISE_SET_READ_MOSTLY: a.read_mostly = true; break;
      case CU_MEM_ADVISE_UNSET_READ_MOSTLY: a.read_mostly = false; break;
      case CU_MEM_ADVISE_SET_PREFERRED_LOCATION: a.preferred = place_of(location); break;
      case CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION: a.preferred = {}; break;
      default:
        if (location.type != CU_MEM_LOCATION_TYPE_DEVICE) a.accessed_by_host = set;
        else if (set) a.accessed_by |= std::uint64_t{1} << location.id;
        else a.accessed_by &= ~(std::uint64_t{1} << location.id);
    }
  });
  return CUDA_SUCCESS;
}

CUresult memAdvise_v1(CUdeviceptr address, size_t bytes, CUmem_advise advice, CUdevice device) {
  return memAdvise_v2(address, bytes, advice, location_of(device));
}

CUresult memRangeGetAttribute(void* data, size_t bytes, CUmem_range_attribute attribute, CUdeviceptr address, size_t count) {
  if (!data || bytes == 0 || bytes % sizeof(int) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (attribute != CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY && bytes != sizeof(int)) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_range(address, count));
  auto* values = static_cast<int*>(data);
  const Place preferred = book().common(address, count, Place{}, [](const Advice& a) { return a.preferred; });
  const Place prefetched = book().common(address, count, Place{}, [](const Advice& a) { return a.prefetched; });
  switch (attribute) {
    case CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY: *values = book().common(address, count, false, [](const Advice& a) { return a.read_mostly; }); break;
    case CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY: {
      // As many as there is room for; the rest of the room says "none".
      const auto devices = book().common(address, count, std::uint64_t{0}, [](const Advice& a) { return a.accessed_by; });
      const bool host = book().common(address, count, false, [](const Advice& a) { return a.accessed_by_host; });
      const std::size_t room = bytes / sizeof(int);
      std::fill_n(values, room, CU_DEVICE_INVALID);
      std::size_t n = 0;
      for (int device = 0; device < 64 && n < room; ++device) {
        if (devices >> device & 1) values[n++] = device;
      }
      if (host && n < room) values[n] = CU_DEVICE_CPU;
      break;
    }
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION: *values = device_of(preferred); break;
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION: *values = device_of(prefetched); break;
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_TYPE: *values = static_cast<int>(preferred.type); break;
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_ID: *values = preferred.id; break;
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_TYPE: *values = static_cast<int>(prefetched.type); break;
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_ID: *values = prefetched.id; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult memRangeGetAttributes(void** data, size_t* bytes, CUmem_range_attribute* attributes, size_t attribute_count, CUdeviceptr address,
                               size_t count) {
  if (!data || !bytes || !attributes || attribute_count == 0) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < attribute_count; ++i) ANYWARP_TRY(memRangeGetAttribute(data[i], bytes[i], attributes[i], address, count));
  return CUDA_SUCCESS;
}

// One location a part of `summary_granularity` bytes. Managed memory is where it was last prefetched to, or with the host.
CUresult memGetLocationInfo(CUdeviceptr address, size_t bytes, size_t summary_granularity, size_t sampling_granularity, CUmemLocation* location) {
  if (!location || !address || bytes == 0 || summary_granularity == 0 || sampling_granularity > summary_granularity) return CUDA_ERROR_INVALID_VALUE;
  memory::Allocation a;
  const bool known = arena().lookup(pointer(address), &a);
  if (known && bytes > a.base + a.size - address) return CUDA_ERROR_INVALID_VALUE;
  if (!known && arena().in_range(pointer(address))) return CUDA_ERROR_INVALID_VALUE;
  const std::size_t parts = (bytes + summary_granularity - 1) / summary_granularity;
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t at = i * summary_granularity, size = std::min(summary_granularity, bytes - at);
    Place place{CU_MEM_LOCATION_TYPE_HOST, 0};
    if (known && a.kind == memory::Kind::managed) {
      const Place moved = book().common(address + at, size, Place{}, [](const Advice& b) { return b.prefetched; });
      if (moved.type != CU_MEM_LOCATION_TYPE_INVALID) place = moved;
    } else if (known && a.kind != memory::Kind::host && a.kind != memory::Kind::registered) {
      place = {CU_MEM_LOCATION_TYPE_DEVICE, a.device};
    }
    location[i] = {};
    location[i].type = place.type, location[i].id = place.id;
  }
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
