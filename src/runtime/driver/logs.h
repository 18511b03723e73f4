// Manual: error log management. What the driver says on stderr is also kept, newest last, and told to callbacks.
#pragma once

#include <string>

#include "driver/objects.h"

namespace anywarp::driver {

CUresult logsRegisterCallback(CUlogsCallback callback, void* data, CUlogsCallbackHandle* handle);
CUresult logsUnregisterCallback(CUlogsCallbackHandle handle);
CUresult logsCurrent(CUlogIterator* iterator, unsigned flags);
CUresult logsDumpToFile(CUlogIterator* iterator, const char* path, unsigned flags);
CUresult logsDumpToMemory(CUlogIterator* iterator, char* buffer, size_t* size, unsigned flags);

// Writes a line to stderr and to the log.
void log_error(const std::string& message);

}  // namespace anywarp::driver
