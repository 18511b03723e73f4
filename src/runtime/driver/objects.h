// What the API's handles point to, and how they are checked.
//
// Every object starts with a `Magic`. A handle is valid if it is not null and its object's magic is right; destroyed objects carry
// Magic::dead. Objects are destroyed by their owners' calls or with their context. Their memory is kept for objects of the same type
// (TypeStable), so that a stale handle can always be looked at; that of contexts is never reused.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <unordered_set>
#include <vector>

#include "cuda_abi.h"
#include "exec/engine.h"

namespace anywarp::driver {

enum class Magic : std::uint32_t {
  dead = 0xDEADDEAD,
  context = 0x41570001,
  stream,
  event,
  module,
  function,
  library,
  kernel,
  link,
  pool,
  graph,
  graph_node,
  graph_exec,
  array,
  mipmapped_array,
  texture_reference,
  green_context,
  external_memory,
  external_semaphore,
  graphics_resource,
  async_callback,
};

struct Capture;   // stream_capture.h
struct IpcEvent;  // ipc.h

inline CUresult api(Result result) { return static_cast<CUresult>(result); }

// Returns from the calling function if `expression` is no success.
#define ANYWARP_TRY(expression)                                           \
  do {                                                                    \
    if (const CUresult result_ = (expression); result_ != CUDA_SUCCESS) { \
      return result_;                                                     \
    }                                                                     \
  } while (false)

// Memory of destroyed objects is reused only for objects of the same type, oldest first, and never given back: reading the magic behind a
// stale handle is safe, and says `dead` until the memory is used again.
template <typename Object>
class TypeStable {
 public:
  static void* operator new(std::size_t size) {
    Free& free = list();
    {
      const std::lock_guard lock(free.mutex);
      if (free.first && free.count > kQuarantine) {
        Link* taken = free.first;
        free.first = taken->next;
        --free.count;
        return taken;
      }
    }
    return ::operator new(std::max(size, sizeof(Link)));
  }
  static void operator delete(void* memory) {
    auto* link = new (memory) Link;  // after the destructor: the mark is written to memory that holds no object any more
    Free& free = list();
    const std::lock_guard lock(free.mutex);
    (free.first ? free.last->next : free.first) = link;
    free.last = link;
    ++free.count;
  }

 private:
  static constexpr std::size_t kQuarantine = 64;
  struct Link {
    volatile Magic magic = Magic::dead;
    Link* next = nullptr;
  };
  struct Free {
    std::mutex mutex;
    Link *first = nullptr, *last = nullptr;
    std::size_t count = 0;
  };
  static Free& list() {
    static auto* free = new Free;
    return *free;
  }
};

template <typename Object>
bool is_valid(const Object* handle) {
  return handle != nullptr && handle->magic == Object::kMagic;
}

}  // namespace anywarp::driver

struct CUctx_st {
  static constexpr auto kMagic = anywarp::driver::Magic::context;
  anywarp::driver::Magic magic = kMagic;
  int device = 0;
  bool primary = false;
  std::uint64_t id = 0;
  std::atomic<unsigned> flags{0};
  std::atomic<CUfunc_cache> cache{CU_FUNC_CACHE_PREFER_NONE};
  std::atomic<CUsharedconfig> shared_config{CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE};
  std::atomic<std::size_t> limits[16]{};  // by CUlimit; what the engine does not keep itself
  std::atomic<int> attached{1};           // cuCtxAttach, cuCtxDetach

  // What cuCtxFromGreenCtx gives out stands for the primary context: `target`, with the green context that streams made in it belong to.
  CUctx_st* target = nullptr;
  CUgreenCtx green = nullptr;

  // Null while a primary context is inactive and after destruction. Replaced under `mutex`; a program must not destroy a context that
  // another thread uses, so users read it without.
  std::unique_ptr<anywarp::Context> engine;

  std::mutex mutex;  // guards what follows
  std::unordered_set<CUstream> streams;
  std::unordered_set<CUevent> events;
  std::unordered_set<CUmodule> modules;
  std::unordered_set<CUcontext> peers;  // contexts whose memory this one may access

  std::atomic<int> captures{0};           // streams that capture
  std::atomic<int> blocking_captures{0};  // those of them that the legacy default stream orders itself with
};

struct CUstream_st : anywarp::driver::TypeStable<CUstream_st> {
  static constexpr int kAttributes = 32;
  static constexpr auto kMagic = anywarp::driver::Magic::stream;
  anywarp::driver::Magic magic = kMagic;
  CUctx_st* context = nullptr;
  anywarp::StreamRef stream;
  unsigned flags = 0;
  int priority = 0;
  CUgreenCtx green = nullptr;  // the green context that it was made in, if any
  CUlaunchAttributeValue attributes[kAttributes]{};  // by CUlaunchAttributeID: kept, without effect
  std::atomic<anywarp::driver::Capture*> capture{nullptr};   // of `capture_owner`
  std::shared_ptr<anywarp::driver::Capture> capture_owner;  // changed by the thread that uses the stream
};

struct CUevent_st : anywarp::driver::TypeStable<CUevent_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::event;
  explicit CUevent_st(unsigned event_flags) : flags(event_flags), event((event_flags & CU_EVENT_DISABLE_TIMING) == 0) {}
  anywarp::driver::Magic magic = kMagic;
  CUctx_st* context = nullptr;
  unsigned flags;
  anywarp::Event event;
  std::shared_ptr<anywarp::driver::IpcEvent> ipc;  // of an interprocess event: what processes share
  std::mutex mutex;  // guards what follows
  std::shared_ptr<anywarp::driver::Capture> capture;  // recorded in a capturing stream: what later waiters depend on
  std::vector<CUgraphNode> captured;
};

// A module's kernel: what CUfunction points to.
struct CUfunc_st : anywarp::driver::TypeStable<CUfunc_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::function;
  anywarp::driver::Magic magic = kMagic;
  CUmod_st* module = nullptr;
  anywarp::Kernel* kernel = nullptr;
  std::atomic<int> max_dynamic_shared{0};  // bytes; 0: the default limit of 48 KiB
  std::atomic<int> carveout{-1};
  std::atomic<int> attributes[32]{};  // by CUfunction_attribute: settable ones without effect
  // The state of the API before CUDA 4.0: cuFuncSetBlockShape, cuParamSet*, cuLaunch. Not thread-safe, as documented.
  unsigned block[3] = {1, 1, 1};
  unsigned shared_bytes = 0;
  std::vector<std::uint8_t> parameters;
};

struct CUmod_st : anywarp::driver::TypeStable<CUmod_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::module;
  anywarp::driver::Magic magic = kMagic;
  CUctx_st* context = nullptr;
  CUlib_st* library = nullptr;  // the library that owns it, if it is not the program's
  std::unique_ptr<anywarp::Module> module;
  std::vector<std::unique_ptr<CUfunc_st>> functions;  // one for each entry, in the module's order
  std::mutex mutex;  // guards what follows
  std::vector<std::pair<std::string, CUtexref>> texture_references;  // that were asked for; the module's
};

namespace anywarp::driver {

// A stream parameter, resolved: handles, null (the legacy default stream) and the two special values.
struct StreamUse {
  Stream* stream = nullptr;
  CUctx_st* context = nullptr;
  CUstream_st* object = nullptr;  // null for the legacy default stream
  Capture* capture() const { return object ? object->capture.load(std::memory_order_acquire) : nullptr; }
};

// The calling thread's context. invalid_context if there is none, context_is_destroyed; its sticky error if it has one.
CUresult current_context(CUctx_st** out);
// The same for an explicit context.
CUresult check_context(CUctx_st* context);
// invalid_handle, or what check_context says about the stream's context.
CUresult use_stream(CUstream handle, StreamUse* out);

}  // namespace anywarp::driver
