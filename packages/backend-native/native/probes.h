// What the machine can do at most: benches state their results as shares of it.
#pragma once

#include <cstdint>

#include "thread_pool.h"

namespace octavo {

/// Bytes per second that all threads together read from an array of `bytes`; the best of several passes.
double ReadBandwidth(int64_t bytes, ThreadPool& pool);

/// int8 operations (a multiplication and an addition are two) per second of all threads together, operands loaded from
/// the first-level cache, in the instruction set in use. 0 where there is no such probe.
double MultiplyRate(ThreadPool& pool);

}  // namespace octavo
