// Manual: memory management, sharing of memory and events between processes.
//
// Memory that is exported moves, where it is, into a file in memory (memory::Arena::share); the handle names process, descriptor and place, and
// the importer opens the file through /proc. So both processes must run as one user in one PID namespace, and the exporter must live while a
// handle is opened. An interprocess event is a page of such a file with two counters: records begun and the last one completed.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult ipcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address);
CUresult ipcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned flags);
CUresult ipcCloseMemHandle(CUdeviceptr address);
CUresult ipcGetEventHandle(CUipcEventHandle* handle, CUevent event);
CUresult ipcOpenEventHandle(CUevent* event, CUipcEventHandle handle);

// What a handle holds: 64 opaque bytes to the program.
struct Ticket {
  std::uint32_t magic;
  std::int32_t process;
  std::uint64_t started;  // of the process, so that a later one with its number is not taken for it
  std::int32_t file;
  std::int32_t device;
  std::uint64_t offset, bytes;  // of the allocation in the file
  std::uint64_t id;             // of the allocation in its process

  auto operator<=>(const Ticket&) const = default;
};
static_assert(sizeof(Ticket) <= CU_IPC_HANDLE_SIZE);
// When this process started, in the kernel's ticks.
std::uint64_t own_start();
// The file of another process. invalid_value: the handle is not one of that kind, or stale.
CUresult open_file(const Ticket& ticket, std::uint32_t magic, int* out);

// What processes share of an event.
struct IpcEvent {
  struct Page {
    std::atomic<std::uint64_t> recorded;
    std::atomic<std::uint64_t> completed;
    std::atomic<std::int32_t> recorder;  // the process of the last record
  };
  IpcEvent() = default;
  ~IpcEvent();
  IpcEvent(const IpcEvent&) = delete;
  IpcEvent& operator=(const IpcEvent&) = delete;
  int file = -1;
  Page* page = nullptr;
  bool imported = false;

  // The record `number` is complete, or the process that made it is gone.
  bool reached(std::uint64_t number) const;
};

// Null if the system refuses.
std::shared_ptr<IpcEvent> make_ipc_event();
// An interprocess event's part of cuEventRecord, cuEventQuery, cuEventSynchronize and cuStreamWaitEvent.
CUresult ipc_record(CUevent_st& event, Stream& stream);
CUresult ipc_query(const CUevent_st& event);
CUresult ipc_synchronize(CUevent_st& event);
CUresult ipc_wait(const CUevent_st& event, Stream& stream);

// A context that is being destroyed closes what it has opened.
void forget_ipc(const CUctx_st& context);

}  // namespace anywarp::driver
