// Dot products of rows with rows: the weight is streamed through once, however few rows of activations there are.
namespace {

#if OCTAVO_WIDTH == 16
constexpr int kRowTile = 4, kOutputTile = 6;  // 24 sums and their operands fit in 32 registers
#elif OCTAVO_WIDTH == 8
constexpr int kRowTile = 3, kOutputTile = 4;
#else
constexpr int kRowTile = 4, kOutputTile = 2;
#endif

constexpr int64_t kLine = 64;

/** What a tile fetches of the weight rows to come while it computes: `lines` cache lines from `from` on in each step. */
struct Ahead {
  const char* from;
  int64_t lines;
};

template <typename T, int kRows, int kOutputs>
void LinearTile(const octavo::Linear& l, int64_t row, int64_t output, Ahead ahead) {
  const int64_t k = l.num_inputs;
  const float* x = l.x + row * k;
  const T* weight = static_cast<const T*>(l.weight) + output * k;
  Vec sums[kRows][kOutputs] = {};
  int64_t i = 0;
  for (; i + kWidth <= k; i += kWidth) {
    for (int64_t line = 0; line < ahead.lines; line++, ahead.from += kLine) __builtin_prefetch(ahead.from, 0, 2);
    Vec w[kOutputs];
    for (int n = 0; n < kOutputs; n++) w[n] = Load(weight + n * k + i);
    for (int m = 0; m < kRows; m++) {
      const Vec a = Load(x + m * k + i);
      for (int n = 0; n < kOutputs; n++) sums[m][n] += a * w[n];
    }
  }
  for (int m = 0; m < kRows; m++) {
    for (int n = 0; n < kOutputs; n++) {
      float sum = Sum(sums[m][n]);
      for (int64_t rest = i; rest < k; rest++) sum += x[m * k + rest] * Widen(weight[n * k + rest]);
      if (l.bias != nullptr) sum += l.bias[output + n];
      l.y[(row + m) * l.num_outputs + output + n] = sum;
    }
  }
}

/** As many rows as a tile has, or the rest. */
template <typename T, int kRows, int kOutputs>
void LinearRows(const octavo::Linear& l, int64_t row, int64_t num_rows, int64_t output, const Ahead& ahead) {
  if (num_rows >= kRows) return LinearTile<T, kRows, kOutputs>(l, row, output, ahead);
  if constexpr (kRows > 1) LinearRows<T, kRows - 1, kOutputs>(l, row, num_rows, output, ahead);
}

/** Few rows: they stay in the nearest cache, and the weight passes by, its next rows on their way while these are used. */
template <typename T>
void LinearStream(const octavo::Linear& l, const octavo::LinearRange& range) {
  const int64_t row_tiles = (range.end_row - range.first_row + kRowTile - 1) / kRowTile;
  const int64_t tile_bytes = kOutputTile * l.num_inputs * static_cast<int64_t>(sizeof(T));
  const int64_t steps = l.num_inputs / kWidth;
  const int64_t lines = steps == 0 ? 0 : (tile_bytes / kLine + row_tiles * steps - 1) / (row_tiles * steps);
  int64_t output = range.first_output;
  for (; output + kOutputTile <= range.end_output; output += kOutputTile) {
    const char* next = reinterpret_cast<const char*>(static_cast<const T*>(l.weight) + (output + kOutputTile) * l.num_inputs);
    for (int64_t tile = 0; tile < row_tiles; tile++) {
      const int64_t row = range.first_row + tile * kRowTile;
      const Ahead ahead = {next + tile * steps * lines * kLine, lines};
      LinearRows<T, kRowTile, kOutputTile>(l, row, range.end_row - row, output, ahead);
    }
  }
  for (; output < range.end_output; output++) {
    for (int64_t row = range.first_row; row < range.end_row; row += kRowTile)
      LinearRows<T, kRowTile, 1>(l, row, range.end_row - row, output, {nullptr, 0});
  }
}

/** Many rows: 64 outputs stay in the second cache while the rows pass by. */
template <typename T>
void LinearBlocks(const octavo::Linear& l, const octavo::LinearRange& range) {
  constexpr int64_t kBlock = 96;
  for (int64_t from = range.first_output; from < range.end_output; from += kBlock) {
    const int64_t end = from + kBlock < range.end_output ? from + kBlock : range.end_output;
    for (int64_t row = range.first_row; row < range.end_row; row += kRowTile) {
      int64_t output = from;
      for (; output + kOutputTile <= end; output += kOutputTile)
        LinearRows<T, kRowTile, kOutputTile>(l, row, range.end_row - row, output, {nullptr, 0});
      for (; output < end; output++) LinearRows<T, kRowTile, 1>(l, row, range.end_row - row, output, {nullptr, 0});
    }
  }
}

template <typename T>
void LinearOf(const octavo::Linear& l, const octavo::LinearRange& range) {
  if (range.end_row - range.first_row <= 8 * kRowTile) LinearStream<T>(l, range);
  else LinearBlocks<T>(l, range);
}

}  // namespace
