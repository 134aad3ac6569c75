// The operations of Pool on packed weights, and float32 matrix products.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "binding.h"
#include "binding_matrix.h"
#include "binding_pool.h"
#include "matrix.h"

namespace octavo {
namespace {

struct FormatLayout {
  int64_t block_elements;
  int64_t block_bytes;
};

/// In the order of Format.
constexpr FormatLayout kLayouts[] = {{1, 4},   {1, 2},   {1, 2},   {32, 34},   {32, 18},  {32, 20},
                                     {32, 22}, {32, 24}, {256, 144}, {256, 176}, {256, 210}};

/// out[cols, rows] = the transpose of x[rows, cols], in tiles that stay in the cache.
void Transpose(float* out, const float* x, int64_t rows, int64_t cols, ThreadPool& pool) {
  constexpr int64_t kTile = 32;
  const int64_t tiles = (rows + kTile - 1) / kTile;
  pool.ParallelFor(tiles, [=](int64_t tile, int) {
    const int64_t row_end = std::min(rows, (tile + 1) * kTile);
    for (int64_t col_start = 0; col_start < cols; col_start += kTile) {
      const int64_t col_end = std::min(cols, col_start + kTile);
      for (int64_t row = tile * kTile; row < row_end; row++) {
        for (int64_t col = col_start; col < col_end; col++) out[col * rows + row] = x[row * cols + col];
      }
    }
  });
}

}  // namespace

/// createMatrix(format, rows, cols, bytes Uint8Array, activations): Matrix. `bytes` as stored, only read.
Napi::Value PoolObject::CreateMatrix(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  const int64_t format = arguments.Integer(0, "format", 0, static_cast<int64_t>(Format::kQ6_K));
  const int64_t rows = arguments.Integer(1, "rows", 1, INT32_MAX);
  const int64_t cols = arguments.Integer(2, "cols", 1, INT32_MAX);
  const auto [block_elements, block_bytes] = kLayouts[format];
  if (cols % block_elements != 0) ThrowRange(env, "a row of the matrix is not whole blocks");
  const uint8_t* bytes = arguments.Bytes(3, "bytes", rows * (cols / block_elements) * block_bytes);
  const auto activations = static_cast<Activations>(arguments.Integer(4, "activations", 0, 2));
  const bool is_dense = block_elements == 1;
  ThreadPool& pool = Live(env);
  std::unique_ptr<Matrix> matrix =
      is_dense ? MakeDenseMatrix(static_cast<Format>(format), rows, cols, bytes, pool)
               : MakeQuantizedMatrix(static_cast<Format>(format), rows, cols, bytes, activations, pool);
  const Napi::Object object = env.GetInstanceData<AddonData>()->matrix_class.New({});
  MatrixObject::Unwrap(object)->Hold(env, std::move(matrix));
  return object;
}

/// linear(matrix, y[n, rows], x[n, cols], n, bias[rows] | null)
void PoolObject::Linear(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  const Matrix& matrix =
      arguments.Object<MatrixObject>(0, "matrix", env.GetInstanceData<AddonData>()->matrix_class).Live(env);
  const int64_t n = arguments.Integer(3, "n", 0, INT32_MAX);
  float* y = arguments.Floats(1, "y", n * matrix.rows);
  const float* x = arguments.Floats(2, "x", n * matrix.cols);
  const float* bias = arguments.OptionalFloats(4, "bias", matrix.rows);
  if (n > 0) matrix.Linear(y, x, n, bias, Live(env));
}

/// embedding(matrix, out[n, cols], ids Int32Array[n])
void PoolObject::Embedding(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  const Matrix& matrix =
      arguments.Object<MatrixObject>(0, "matrix", env.GetInstanceData<AddonData>()->matrix_class).Live(env);
  const int64_t n = arguments.Length(2, "ids");
  const int32_t* ids = arguments.Integers(2, "ids", n);
  float* out = arguments.Floats(1, "out", n * matrix.cols);
  for (int64_t i = 0; i < n; i++) {
    if (ids[i] < 0 || ids[i] >= matrix.rows) {
      ThrowRange(env, "row " + std::to_string(ids[i]) + " is outside [0, " + std::to_string(matrix.rows) + ")");
    }
  }
  Live(env).ParallelFor(n, [&](int64_t i, int) { matrix.ReadRow(ids[i], out + i * matrix.cols); });
}

/// matMul(out[m, n], a, b, m, k, n, transposeA, transposeB): a is [m, k] or, transposed, [k, m]; b [k, n] or [n, k].
void PoolObject::MatMul(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  ThreadPool& pool = Live(info.Env());
  const int64_t m = arguments.Integer(3, "m", 1, INT32_MAX);
  const int64_t k = arguments.Integer(4, "k", 1, INT32_MAX);
  const int64_t n = arguments.Integer(5, "n", 1, INT32_MAX);
  float* out = arguments.Floats(0, "out", m * n);
  const float* a = arguments.Floats(1, "a", m * k);
  const float* b = arguments.Floats(2, "b", k * n);
  std::vector<float> a_rows, b_columns;
  if (arguments.Boolean(6, "transposeA")) {
    a_rows.resize(static_cast<size_t>(m * k));
    Transpose(a_rows.data(), a, k, m, pool);
    a = a_rows.data();
  }
  if (!arguments.Boolean(7, "transposeB")) {
    b_columns.resize(static_cast<size_t>(k * n));
    Transpose(b_columns.data(), b, k, n, pool);
    b = b_columns.data();
  }
  MakeDenseMatrix(Format::kFloat32, n, k, reinterpret_cast<const uint8_t*>(b), pool)->Linear(out, a, m, nullptr, pool);
}

}  // namespace octavo
