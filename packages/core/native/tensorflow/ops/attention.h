// Attention over keys and values where they lie in the cache, a few blocks at a time with a running softmax
// (Milakov and Gimelshein 2018, arXiv:1805.02867).
namespace {

constexpr int64_t kKeyTile = 64;
constexpr float kMasked = -1e30f;

/** From so many queries per head on, keys are turned once and multiplied as a matrix. */
constexpr int64_t kTurnedFrom = 8;

inline int64_t Padded(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

/** An item's scratch memory. */
struct AttentionScratch {
  float* queries;  // [num_kv_heads, num_queries, padded], scaled
  float* sums;  // likewise: weighted values so far
  float* maxima;  // [num_kv_heads, num_queries]
  float* totals;  // likewise
  float* scores;  // [num_queries, kKeyTile]
  float* turned;  // [padded, kKeyTile], or keys [kKeyTile, padded]
  float* values;  // [kKeyTile, padded]
};

inline int64_t ScratchFloats(const octavo::Attention& a, int64_t num_rows, int64_t num_kv_heads) {
  const int64_t queries = num_rows * (a.num_heads / a.num_kv_heads);
  const int64_t padded = Padded(a.head_dim);
  return num_kv_heads * queries * (2 * padded + 2) + queries * kKeyTile + 2 * kKeyTile * padded;
}

inline AttentionScratch CutScratch(float* scratch, int64_t num_kv_heads, int64_t queries, int64_t padded) {
  AttentionScratch s;
  s.queries = scratch;
  s.sums = s.queries + num_kv_heads * queries * padded;
  s.maxima = s.sums + num_kv_heads * queries * padded;
  s.totals = s.maxima + num_kv_heads * queries;
  s.scores = s.totals + num_kv_heads * queries;
  s.turned = s.scores + queries * kKeyTile;
  s.values = s.turned + kKeyTile * padded;
  return s;
}

/** c[q, :] += sum of a[q, i] * rows[i][:], over kVectors vectors. */
template <int kQueries, int kVectors>
inline void AddProducts(const float* a, int64_t stride, const float* const* rows, int64_t offset, int64_t n, float* c,
                        int64_t c_stride) {
  Vec sums[kQueries][kVectors];
  for (int q = 0; q < kQueries; q++)
    for (int v = 0; v < kVectors; v++) sums[q][v] = Load(c + q * c_stride + v * kWidth);
  for (int64_t i = 0; i < n; i++) {
    Vec row[kVectors];
    for (int v = 0; v < kVectors; v++) row[v] = Load(rows[i] + offset + v * kWidth);
    for (int q = 0; q < kQueries; q++) {
      const Vec factor = Spread(a[q * stride + i]);
      for (int v = 0; v < kVectors; v++) sums[q][v] += factor * row[v];
    }
  }
  for (int q = 0; q < kQueries; q++)
    for (int v = 0; v < kVectors; v++) Store(c + q * c_stride + v * kWidth, sums[q][v]);
}

template <int kQueries>
inline void AddProductRows(const float* a, int64_t stride, const float* const* rows, int64_t n, float* c, int64_t width) {
  constexpr int kVectors = OCTAVO_WIDTH == 16 ? 4 : 2;
  int64_t at = 0;
  for (; at + kVectors * kWidth <= width; at += kVectors * kWidth)
    AddProducts<kQueries, kVectors>(a, stride, rows, at, n, c + at, width);
  for (; at < width; at += kWidth) AddProducts<kQueries, 1>(a, stride, rows, at, n, c + at, width);
}

/** a [num_queries, n] of rows `stride` apart times `rows`, added to c [num_queries, width]. */
inline void AddMatrix(const float* a, int64_t stride, int64_t num_queries, const float* const* rows, int64_t n, float* c,
                      int64_t width) {
  int64_t q = 0;
  for (; q + 4 <= num_queries; q += 4) AddProductRows<4>(a + q * stride, stride, rows, n, c + q * width, width);
  if (num_queries - q == 3) AddProductRows<3>(a + q * stride, stride, rows, n, c + q * width, width);
  if (num_queries - q == 2) AddProductRows<2>(a + q * stride, stride, rows, n, c + q * width, width);
  if (num_queries - q == 1) AddProductRows<1>(a + q * stride, stride, rows, n, c + q * width, width);
}

template <int kQueries>
inline void DotRows(const float* queries, const float* const* keys, int64_t n, int64_t padded, float* scores) {
  for (int64_t j = 0; j < n; j++) {
    Vec sums[kQueries] = {};
    for (int64_t d = 0; d < padded; d += kWidth) {
      const Vec key = Load(keys[j] + d);
      for (int q = 0; q < kQueries; q++) sums[q] += Load(queries + q * padded + d) * key;
    }
    for (int q = 0; q < kQueries; q++) scores[q * kKeyTile + j] = Sum(sums[q]);
  }
}

inline void Dots(const float* queries, int64_t num_queries, const float* const* keys, int64_t n, int64_t padded,
                 float* scores) {
  int64_t q = 0;
  for (; q + 3 <= num_queries; q += 3) DotRows<3>(queries + q * padded, keys, n, padded, scores + q * kKeyTile);
  for (; q < num_queries; q++) DotRows<1>(queries + q * padded, keys, n, padded, scores + q * kKeyTile);
}

/** Whole vectors of floats can be read where they lie; anything else is widened into `copies`. */
template <typename T>
inline void PointAt(const T* const* rows, int64_t offset, int64_t n, int64_t head_dim, float* copies,
                    const float** pointers) {
  const int64_t padded = Padded(head_dim);
  for (int64_t j = 0; j < n; j++) {
    if constexpr (sizeof(T) == 4) {
      if (padded == head_dim) {
        pointers[j] = rows[j] + offset;
        continue;
      }
    }
    float* copy = copies + j * padded;
    const T* row = rows[j] + offset;
    int64_t d = 0;
    for (; d + kWidth <= head_dim; d += kWidth) Store(copy + d, Load(row + d));
    for (; d < head_dim; d++) copy[d] = Widen(row[d]);
    for (; d < padded; d++) copy[d] = 0;
    pointers[j] = copy;
  }
}

/** Scores of one query over a tile, of which it sees [first, end): they become weights of the running softmax. */
inline void Soften(float* scores, int64_t first, int64_t end, float softcap, float* max, float* total, float* sums,
                   int64_t padded) {
  Vec top = Spread(kMasked);
  for (int64_t j = 0; j < kKeyTile; j += kWidth) {
    Vec s = Load(scores + j);
    if (softcap > 0) s = softcap - 2 * softcap / (Exp(s * (2 / softcap)) + 1.0f);  // softcap * tanh(s / softcap)
    if (first > j || end < j + kWidth) {
      for (int64_t i = 0; i < kWidth; i++)
        if (j + i < first || j + i >= end) s[i] = kMasked;
    }
    Store(scores + j, s);
    top = Max(top, s);
  }
  const float highest = MaxOf(top);
  if (highest > *max) {
    const Vec factor = Exp(Spread(*max - highest));
    for (int64_t d = 0; d < padded; d += kWidth) Store(sums + d, Load(sums + d) * factor);
    *total *= factor[0];
    *max = highest;
  }
  Vec added = {};
  for (int64_t j = 0; j < kKeyTile; j += kWidth) {
    // A row that sees none of the tile has no maximum yet, or one far above: its weights are 0 either way.
    const Vec s = Load(scores + j);
    const Vec weight = s > Spread(kMasked) ? Exp(s - *max) : Vec{};
    Store(scores + j, weight);
    added += weight;
  }
  *total += Sum(added);
}

/** visit(row of the batch, its head, place in the item's scratch) for each query of an item. */
template <typename Visit>
inline void ForQueries(const octavo::Attention& a, const octavo::AttentionItem& item, const Visit& visit) {
  const int64_t shared = a.num_heads / a.num_kv_heads;
  const int64_t queries = item.num_rows * shared;
  for (int64_t h = 0; h < item.num_kv_heads; h++) {
    for (int64_t q = 0; q < queries; q++)
      visit(item.first_row + q / shared, (item.first_kv_head + h) * shared + q % shared, h * queries + q);
  }
}

inline void StartItem(const octavo::Attention& a, const octavo::AttentionItem& item, const AttentionScratch& s) {
  const int64_t padded = Padded(a.head_dim);
  ForQueries(a, item, [&](int64_t row, int64_t head, int64_t at) {
    const float* from = a.query + (row * a.num_heads + head) * a.head_dim;
    float* to = s.queries + at * padded;
    float* sums = s.sums + at * padded;
    for (int64_t d = 0; d < padded; d++) {
      to[d] = d < a.head_dim ? from[d] * a.scale : 0;
      sums[d] = 0;
    }
    s.maxima[at] = a.sinks != nullptr ? a.sinks[head] : kMasked;
    s.totals[at] = a.sinks != nullptr ? 1 : 0;
  });
}

inline void EndItem(const octavo::Attention& a, const octavo::AttentionItem& item, const AttentionScratch& s) {
  ForQueries(a, item, [&](int64_t row, int64_t head, int64_t at) {
    float* to = a.out + (row * a.num_heads + head) * a.head_dim;
    const float* sums = s.sums + at * Padded(a.head_dim);
    const float factor = 1 / s.totals[at];
    for (int64_t d = 0; d < a.head_dim; d++) to[d] = sums[d] * factor;
  });
}

/** Keys and values `[start, start + n)` of one head, of which row `r` of the item sees those up to its own position. */
template <typename T>
void AttendTile(const octavo::Attention& a, const octavo::AttentionItem& item, const AttentionScratch& s, int64_t h,
                const T* const* key_rows, const T* const* value_rows, int64_t start, int64_t n) {
  const int64_t shared = a.num_heads / a.num_kv_heads, padded = Padded(a.head_dim);
  const int64_t queries = item.num_rows * shared;
  const int64_t offset = (item.first_kv_head + h) * a.head_dim;
  const float* query = s.queries + h * queries * padded;
  float* sums = s.sums + h * queries * padded;
  const float* rows[octavo::kMaxHeadDim];  // of the turned keys, or of kKeyTile keys and values
  if (queries < kTurnedFrom) {
    PointAt(key_rows, offset, n, a.head_dim, s.turned, rows);
    Dots(query, queries, rows, n, padded, s.scores);
  } else {
    for (int64_t d = 0; d < a.head_dim; d++) {
      float* line = s.turned + d * kKeyTile;
      for (int64_t j = 0; j < n; j++) line[j] = Widen(key_rows[j][offset + d]);
      for (int64_t j = n; j < kKeyTile; j++) line[j] = 0;
      rows[d] = line;
    }
    for (int64_t i = 0; i < queries * kKeyTile; i++) s.scores[i] = 0;
    AddMatrix(query, padded, queries, rows, a.head_dim, s.scores, kKeyTile);
  }
  for (int64_t q = 0; q < queries; q++) {
    const int64_t position = item.position + q / shared;
    const int64_t first = a.sliding_window > 0 ? position - a.sliding_window + 1 - start : 0;
    const int64_t end = position + 1 - start < n ? position + 1 - start : n;
    const int64_t at = h * queries + q;
    Soften(s.scores + q * kKeyTile, first, end, a.softcap, s.maxima + at, s.totals + at, sums + q * padded, padded);
  }
  PointAt(value_rows, offset, n, a.head_dim, s.values, rows);
  AddMatrix(s.scores, kKeyTile, queries, rows, n, sums, padded);
}

template <typename T>
void AttendOf(const octavo::Attention& a, const octavo::AttentionItem& item, float* scratch) {
  const int64_t queries = item.num_rows * (a.num_heads / a.num_kv_heads);
  const AttentionScratch s = CutScratch(scratch, item.num_kv_heads, queries, Padded(a.head_dim));
  StartItem(a, item, s);
  const int64_t end = item.position + item.num_rows;
  const int64_t oldest = item.position - a.sliding_window + 1;
  const int64_t slot_width = a.num_kv_heads * a.head_dim;
  for (int64_t start = a.sliding_window > 0 && oldest > 0 ? oldest : 0; start < end; start += kKeyTile) {
    const int64_t n = end - start < kKeyTile ? end - start : kKeyTile;
    const T* key_rows[kKeyTile];
    const T* value_rows[kKeyTile];
    for (int64_t j = 0; j < n; j++) {
      const int64_t position = start + j;
      const int64_t slot = item.blocks[position / a.block_size] * a.block_size + position % a.block_size;
      key_rows[j] = static_cast<const T*>(a.keys) + slot * slot_width;
      value_rows[j] = static_cast<const T*>(a.values) + slot * slot_width;
    }
    for (int64_t h = 0; h < item.num_kv_heads; h++) AttendTile(a, item, s, h, key_rows, value_rows, start, n);
  }
  EndItem(a, item, s);
}

}  // namespace
