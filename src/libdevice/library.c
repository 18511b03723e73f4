// The math library: compiled for nvptx64 by build.py.
#include "machine.h"

#include "exp_log.h"
#include "roots.h"
#include "special.h"
#include "trigonometry.h"
