// The runtime API's behaviour: all chapters. Each header declares the functions of one chapter of the manual under the names that
// src/anywarp/api/implemented.py derives from the symbols; declaring one there is all it takes to make it implemented. What the chapters
// share is in runtime.h.
#pragma once

#include "cudart/device.h"
#include "cudart/entry_point.h"
#include "cudart/error.h"
#include "cudart/execution.h"
#include "cudart/execution_context.h"
#include "cudart/external.h"
#include "cudart/graph.h"
#include "cudart/graphics.h"
#include "cudart/library.h"
#include "cudart/memory.h"
#include "cudart/memory_array.h"
#include "cudart/memory_copy.h"
#include "cudart/memory_pool.h"
#include "cudart/memory_set.h"
#include "cudart/occupancy.h"
#include "cudart/peer.h"
#include "cudart/registration.h"
#include "cudart/stream.h"
#include "cudart/texture_object.h"
#include "cudart/texture_reference.h"
#include "cudart/unified_addressing.h"
#include "cudart/version.h"
