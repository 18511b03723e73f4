// Manual: checkpointing. A process can be locked (its calls wait, its work comes to an end), checkpointed, restored and unlocked, by itself or by
// another process of the same user.
//
// What a GPU holds is ordinary memory here, which whatever saves the process saves as well: checkpointing moves nothing. Each process that
// called cuInit has a thread that serves requests at an abstract socket named after its number. Custom storage is not supported.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult checkpointProcessGetRestoreThreadId(int process, int* thread);
CUresult checkpointProcessGetState(int process, CUprocessState* state);
CUresult checkpointProcessLock(int process, CUcheckpointLockArgs* arguments);
CUresult checkpointProcessCheckpoint(int process, CUcheckpointCheckpointArgs* arguments);
CUresult checkpointProcessRestore(int process, CUcheckpointRestoreArgs* arguments);
CUresult checkpointProcessUnlock(int process, CUcheckpointUnlockArgs* arguments);

// Called once, by cuInit.
void serve_checkpoints();

// A call of the API by this thread, which a lock waits for. Calls from within calls (callbacks) are part of them.
class ApiCall {
 public:
  ApiCall();
  ~ApiCall();
  ApiCall(const ApiCall&) = delete;
  ApiCall& operator=(const ApiCall&) = delete;
};
// Waits as long as the process is locked, unless this thread is in a call already.
void wait_for_unlock();

}  // namespace anywarp::driver
