#include "driver/coredump.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>

#include "driver/context.h"
#include "driver/memory.h"

struct CUcoredumpCallbackEntry_st {
  CUcoredumpStatusCallback callback;
  void* data;
  bool at_start;
};

namespace anywarp::driver {
namespace {

constexpr std::size_t kTextBytes = 1023;  // of a file's name

// Settings of one scope; what is not set is the wider scope's.
struct Settings {
  std::optional<bool> enable, trigger_host, user_trigger;
  std::optional<unsigned> flags;
  std::optional<std::string> file, pipe;
};

struct State {
  std::mutex mutex;
  bool environment_read = false;
  Settings environment, global;
  std::map<std::uint64_t, Settings> contexts;  // by the context's number
  std::unordered_set<std::uint64_t> dumped;    // contexts that have been
  std::vector<std::unique_ptr<CUcoredumpCallbackEntry_st>> callbacks;
};

std::string default_name(const char* kind) {
  char host[128] = "";
  gethostname(host, sizeof host - 1);
  return std::string(kind) + "." + host + "." + std::to_string(getpid());
}

std::optional<bool> flag_of(const char* name) {
  const char* text = std::getenv(name);
  return text && *text ? std::optional<bool>(std::strcmp(text, "0") != 0) : std::nullopt;
}

State& state() {
  static auto* s = new State;
  return *s;
}

// Caller holds the mutex.
void read_environment(State& s) {
  if (s.environment_read) return;
  s.environment_read = true;
  s.environment.enable = flag_of("CUDA_ENABLE_COREDUMP_ON_EXCEPTION");
  s.environment.trigger_host = flag_of("CUDA_ENABLE_CPU_COREDUMP_ON_EXCEPTION");
  s.environment.user_trigger = flag_of("CUDA_ENABLE_USER_TRIGGERED_COREDUMP");
  if (flag_of("CUDA_ENABLE_LIGHTWEIGHT_COREDUMP").value_or(false)) s.environment.flags = CU_COREDUMP_LIGHTWEIGHT_FLAGS;
  if (const char* file = std::getenv("CUDA_COREDUMP_FILE")) s.environment.file = file;
  if (const char* pipe = std::getenv("CUDA_COREDUMP_PIPE")) s.environment.pipe = pipe;
}

// A member of the first scope that has it: the environment, the context, the process, else `fallback`.
template <typename T>
T effective(State& s, std::uint64_t context, std::optional<T> Settings::*member, T fallback) {
  read_environment(s);
  if (s.environment.*member) return *(s.environment.*member);
  if (const auto found = s.contexts.find(context); found != s.contexts.end() && found->second.*member) return *(found->second.*member);
  return s.global.*member ? *(s.global.*member) : fallback;
}

template <typename T>
CUresult give(T from, void* value, size_t* size) {
  if (!value) return *size = sizeof(T), CUDA_SUCCESS;
  if (*size < sizeof(T)) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(value, &from, sizeof from);
  *size = sizeof from;
  return CUDA_SUCCESS;
}

CUresult give(const std::string& from, void* value, size_t* size) {
  if (!value) return *size = from.size() + 1, CUDA_SUCCESS;
  if (*size < from.size() + 1) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(value, from.c_str(), from.size() + 1);
  *size = from.size() + 1;
  return CUDA_SUCCESS;
}

CUresult get(std::uint64_t context, CUcoredumpSettings attribute, void* value, size_t* size) {
  if (!size) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  switch (attribute) {
    case CU_COREDUMP_ENABLE_ON_EXCEPTION: return give(effective(s, context, &Settings::enable, false), value, size);
    case CU_COREDUMP_TRIGGER_HOST: return give(effective(s, context, &Settings::trigger_host, true), value, size);
    case CU_COREDUMP_ENABLE_USER_TRIGGER: return give(effective(s, context, &Settings::user_trigger, false), value, size);
    case CU_COREDUMP_LIGHTWEIGHT: return give(effective(s, context, &Settings::flags, 0u) == CU_COREDUMP_LIGHTWEIGHT_FLAGS, value, size);
    case CU_COREDUMP_GENERATION_FLAGS: return give(effective(s, context, &Settings::flags, 0u), value, size);
    case CU_COREDUMP_FILE: return give(effective(s, context, &Settings::file, default_name("core.cuda")), value, size);
    case CU_COREDUMP_PIPE: return give(effective(s, context, &Settings::pipe, default_name("corepipe.cuda")), value, size);
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

// What a set call expects in `value`.
std::size_t bytes_of(CUcoredumpSettings attribute) {
  switch (attribute) {
    case CU_COREDUMP_FILE:
    case CU_COREDUMP_PIPE: return kTextBytes;
    case CU_COREDUMP_GENERATION_FLAGS: return sizeof(unsigned);
    default: return sizeof(bool);
  }
}

CUresult set(std::uint64_t context, CUcoredumpSettings attribute, void* value, size_t* size) {
  if (!size || attribute < CU_COREDUMP_ENABLE_ON_EXCEPTION || attribute >= CU_COREDUMP_MAX) return CUDA_ERROR_INVALID_VALUE;
  if (!value) return *size = bytes_of(attribute), CUDA_SUCCESS;
  const bool is_text = attribute == CU_COREDUMP_FILE || attribute == CU_COREDUMP_PIPE;
  if (is_text ? *size == 0 || *size > kTextBytes : *size < bytes_of(attribute)) return CUDA_ERROR_INVALID_VALUE;
  if (context != 0 && (attribute == CU_COREDUMP_ENABLE_USER_TRIGGER || attribute == CU_COREDUMP_PIPE)) return CUDA_ERROR_NOT_SUPPORTED;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  read_environment(s);
  Settings& own = context ? s.contexts[context] : s.global;
  const bool flag = !is_text && *static_cast<unsigned char*>(value) != 0;
  const auto change = [&](auto member, auto to) {
    if (s.environment.*member) return CUDA_ERROR_NOT_PERMITTED;
    own.*member = to;
    return CUDA_SUCCESS;
  };
  const auto text = [&] { return std::string(static_cast<const char*>(value), strnlen(static_cast<const char*>(value), *size)); };
  switch (attribute) {
    case CU_COREDUMP_ENABLE_ON_EXCEPTION: return change(&Settings::enable, flag);
    case CU_COREDUMP_TRIGGER_HOST: return change(&Settings::trigger_host, flag);
    case CU_COREDUMP_ENABLE_USER_TRIGGER: return change(&Settings::user_trigger, flag);
    case CU_COREDUMP_LIGHTWEIGHT: return change(&Settings::flags, flag ? unsigned{CU_COREDUMP_LIGHTWEIGHT_FLAGS} : 0u);
    case CU_COREDUMP_GENERATION_FLAGS: return change(&Settings::flags, *static_cast<unsigned*>(value));
    case CU_COREDUMP_FILE: return change(&Settings::file, text());
    default: return change(&Settings::pipe, text());
  }
}

CUresult add_callback(CUcoredumpStatusCallback callback, void* data, bool at_start, CUcoredumpCallbackHandle* handle) {
  if (!callback || !handle) return CUDA_ERROR_INVALID_VALUE;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.callbacks.push_back(std::make_unique<CUcoredumpCallbackEntry_st>(CUcoredumpCallbackEntry_st{callback, data, at_start}));
  *handle = s.callbacks.back().get();
  return CUDA_SUCCESS;
}

CUresult remove_callback(CUcoredumpCallbackHandle handle, bool at_start) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto removed = std::erase_if(s.callbacks, [&](const auto& entry) { return entry.get() == handle && entry->at_start == at_start; });
  return removed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult coredumpGetAttributeGlobal(CUcoredumpSettings attribute, void* value, size_t* size) { return get(0, attribute, value, size); }

CUresult coredumpGetAttribute(CUcoredumpSettings attribute, void* value, size_t* size) {
  CUctx_st* context = top_context();
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  return get(context->id, attribute, value, size);
}

CUresult coredumpSetAttributeGlobal(CUcoredumpSettings attribute, void* value, size_t* size) { return set(0, attribute, value, size); }

CUresult coredumpSetAttribute(CUcoredumpSettings attribute, void* value, size_t* size) {
  CUctx_st* context = top_context();
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  return set(context->id, attribute, value, size);
}

CUresult coredumpRegisterStartCallback(CUcoredumpStatusCallback callback, void* data, CUcoredumpCallbackHandle* handle) {
  return add_callback(callback, data, true, handle);
}
CUresult coredumpRegisterCompleteCallback(CUcoredumpStatusCallback callback, void* data, CUcoredumpCallbackHandle* handle) {
  return add_callback(callback, data, false, handle);
}
CUresult coredumpDeregisterStartCallback(CUcoredumpCallbackHandle handle) { return remove_callback(handle, true); }
CUresult coredumpDeregisterCompleteCallback(CUcoredumpCallbackHandle handle) { return remove_callback(handle, false); }

void report_context_error(CUctx_st& context) {
  State& s = state();
  std::string file;
  bool stop = false;
  std::vector<CUcoredumpCallbackEntry_st> callbacks;
  {
    const std::lock_guard lock(s.mutex);
    if (!effective(s, context.id, &Settings::enable, false) || !s.dumped.insert(context.id).second) return;
    file = effective(s, context.id, &Settings::file, default_name("core.cuda"));
    stop = effective(s, context.id, &Settings::trigger_host, true) && (effective(s, context.id, &Settings::flags, 0u) & CU_COREDUMP_SKIP_ABORT) == 0;
    for (const auto& entry : s.callbacks) callbacks.push_back(*entry);
  }
  const auto tell = [&](bool at_start) {
    for (const CUcoredumpCallbackEntry_st& entry : callbacks) {
      if (entry.at_start == at_start) entry.callback(entry.data, getpid(), context.device);
    }
  };
  tell(true);
  // %p and %h are the process and the host, as in CUDA-GDB's manual.
  char host[128] = "";
  gethostname(host, sizeof host - 1);
  for (const auto& [mark, text] : {std::pair<const char*, std::string>{"%p", std::to_string(getpid())}, {"%h", host}}) {
    for (std::size_t at = file.find(mark); at != std::string::npos; at = file.find(mark, at + text.size())) file.replace(at, 2, text);
  }
  std::size_t free = 0, total = 0;
  arena().info(context.device, &free, &total);
  std::ofstream(file) << context.engine->message() << "\nprocess " << getpid() << ", device " << context.device << ", result "
                      << static_cast<unsigned>(context.engine->status()) << ", device memory in use " << total - free << " of " << total << " bytes\n";
  tell(false);
  if (stop) std::abort();
}

}  // namespace anywarp::driver
