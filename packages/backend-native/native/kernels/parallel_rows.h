// Cuts rows into chunks that are worth waking a thread for.
#pragma once

#include <cstdint>

#include "../thread_pool.h"

namespace octavo {

/// Elements below which a chunk takes less time than handing it to another thread.
constexpr int64_t kElementsPerChunk = 16384;

/// Calls rows(begin, end) for all of [0, n), `width` elements of work per row; small inputs run on the calling thread.
template <class Rows>
void ParallelRows(ThreadPool& pool, int64_t n, int64_t width, const Rows& rows) {
  if (n <= 0) return;
  const int64_t per_row = width > 0 ? width : 1;
  int64_t rows_per_chunk = (kElementsPerChunk + per_row - 1) / per_row;
  if (rows_per_chunk < 1) rows_per_chunk = 1;
  const int64_t num_chunks = (n + rows_per_chunk - 1) / rows_per_chunk;
  if (num_chunks == 1 || pool.num_threads() == 1) {
    rows(int64_t{0}, n);
    return;
  }
  pool.ParallelFor(num_chunks, [&](int64_t chunk, int) {
    const int64_t begin = chunk * rows_per_chunk;
    const int64_t end = begin + rows_per_chunk;
    rows(begin, end < n ? end : n);
  });
}

}  // namespace octavo
