// The operations of Pool on packed weights, and float32 matrix products.
#include <algorithm>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "binding.h"
#include "binding_matrix.h"
#include "binding_pool.h"
#include "grouped_matrix.h"
#include "matrix.h"

namespace octavo {
namespace {

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

constexpr int64_t kMaxBytes = INT64_C(1) << 46;

/// What the makers of matrices have in common: format, rows, cols, (3), activations.
class MatrixArguments : public Arguments {
 public:
  explicit MatrixArguments(const Napi::CallbackInfo& info)
      : Arguments(info),
        format(FormatName(0, "format")),
        rows(Integer(1, "rows", 1, INT32_MAX)),
        cols(Integer(2, "cols", 1, INT32_MAX)),
        activations(static_cast<Activations>(Choice(4, "activations", kActivationFormats))) {
    const FormatLayout& layout = LayoutOf(format);
    if (cols % layout.block_elements != 0) ThrowRange(Env(), "a row of the matrix is not whole blocks");
    row_bytes = cols / layout.block_elements * layout.block_bytes;
    if (rows > kMaxBytes / row_bytes) ThrowRange(Env(), "the matrix is larger than any memory");
  }

  const Format format;
  const int64_t rows;
  const int64_t cols;
  const Activations activations;
  int64_t row_bytes;
};

/// What all products with a matrix have in common: matrix, (1), x[n, cols], n, bias[rows] | null.
class LinearArguments : public Arguments {
 public:
  explicit LinearArguments(const Napi::CallbackInfo& info)
      : Arguments(info),
        matrix(Object<MatrixObject>(0, "matrix", Env().GetInstanceData<AddonData>()->matrix_class).Live(Env())),
        n(Integer(3, "n", 0, INT32_MAX)) {}

  LinearInput Input() const {
    return {Floats(2, "x", n * matrix.cols), n, OptionalFloats(4, "bias", matrix.rows)};
  }

  const Matrix& matrix;
  const int64_t n;
};

/// What the makers of grouped matrices have in common: rows, cols, bits, groupSize, scaleDtype, values Float32Array[2^bits],
/// order Int32Array[cols] | null (each column's group), activations, then the planes of grouped_matrix.h: codes, scales, zeros
/// | null.
class GroupedArguments : public Arguments {
 public:
  explicit GroupedArguments(const Napi::CallbackInfo& info)
      : Arguments(info),
        rows(Integer(0, "rows", 1, INT32_MAX)),
        activations(static_cast<Activations>(Choice(7, "activations", kActivationFormats))) {
    const Napi::Env env = info.Env();
    spec.cols = Integer(1, "cols", 1, INT32_MAX);
    spec.bits = Integer(2, "bits", 1, 8);
    spec.group_size = Integer(3, "groupSize", 1, INT32_MAX);
    spec.scale_format = FormatName(4, "scaleDtype");
    spec.has_zeros = !IsNull(10);
    if (LayoutOf(spec.scale_format).block_elements != 1) ThrowType(env, "scaleDtype must be a dtype of single numbers");
    const int64_t num_values = INT64_C(1) << spec.bits, num_groups = spec.NumGroups();
    if (rows > kMaxBytes / (4 * num_groups)) ThrowRange(env, "the matrix is larger than any memory");
    const float* values = Floats(5, "values", num_values);
    spec.values.assign(values, values + num_values);
    if (IsNull(6)) return;
    const int32_t* order = Integers(6, "order", spec.cols);
    for (int64_t k = 0; k < spec.cols; k++) {
      if (order[k] >= 0 && order[k] < num_groups) continue;
      ThrowRange(env, "group " + std::to_string(order[k]) + " is outside [0, " + std::to_string(num_groups) + ")");
    }
    spec.order.assign(order, order + spec.cols);
  }

  /// plane(index of the argument, its name, bytes of a row) of each plane; empty where one is null.
  template <typename Plane>
  StoredPlanes Planes(const Plane& plane) const {
    StoredPlanes planes = {plane(8, "codes", spec.CodeStride()), plane(9, "scales", spec.ScaleStride())};
    if (spec.has_zeros) planes.push_back(plane(10, "zeros", spec.NumGroups()));
    if (std::find(planes.begin(), planes.end(), nullptr) != planes.end()) planes.clear();
    return planes;
  }

  const int64_t rows;
  const Activations activations;
  GroupedSpec spec;
};

/// Null where the rows could not be read.
std::unique_ptr<Matrix> Make(Format format, int64_t cols, Activations activations, const StoredRows& stored,
                             ThreadPool& pool) {
  if (LayoutOf(format).block_elements == 1) return MakeDenseMatrix(format, cols, stored, pool);
  return MakeQuantizedMatrix(format, cols, stored, activations, pool);
}

template <typename Held>
Napi::Value MakeObject(const Napi::Env& env, Held matrix) {
  if (matrix == nullptr) return env.Null();
  const Napi::Object object = env.GetInstanceData<AddonData>()->matrix_class.New({});
  MatrixObject::Unwrap(object)->Hold(std::move(matrix));
  return object;
}

/// The rows that the `index`th argument names; null where they are not in their files.
std::shared_ptr<const StoredRows> OpenRows(const Arguments& arguments, size_t index, const char* name, int64_t num_rows,
                                           int64_t row_bytes, OpenFiles& files) {
  const Napi::Env env = arguments.Env();
  const int64_t length = arguments.Length(index, name);
  const double* runs = arguments.Doubles(index, name, length);
  std::vector<StoredRows::FileRun> file_runs;
  int64_t rows = 0;
  for (int64_t i = 0; i + 4 <= length; i += 4) {
    for (int64_t j = i; j < i + 4; j++) {
      if (!(runs[j] >= 0 && runs[j] <= 0x1p53)) ThrowRange(env, "runs must be non-negative integers");
    }
    if (runs[i] > INT32_MAX || runs[i + 3] > INT32_MAX) ThrowRange(env, "a run's file or count is too large");
    file_runs.push_back({static_cast<int>(runs[i]), static_cast<int64_t>(runs[i + 1]),
                         static_cast<int64_t>(runs[i + 2]), static_cast<int64_t>(runs[i + 3])});
    rows += file_runs.back().count;
  }
  if (length % 4 != 0 || rows != num_rows) ThrowRange(env, "runs do not add up to the rows of the matrix");
  return StoredRows::TryOpen(file_runs, row_bytes, files);
}

MatrixObject& ObjectOf(const Arguments& arguments) {
  return arguments.Object<MatrixObject>(0, "matrix", arguments.Env().GetInstanceData<AddonData>()->matrix_class);
}

}  // namespace

/// createMatrix(format, rows, cols, bytes Uint8Array, activations): Matrix. `bytes` as stored, only read.
Napi::Value PoolObject::CreateMatrix(const Napi::CallbackInfo& info) {
  const MatrixArguments arguments(info);
  const uint8_t* bytes = arguments.Bytes(3, "bytes", arguments.rows * arguments.row_bytes);
  const StoredRows stored(bytes, arguments.rows, arguments.row_bytes);
  return MakeObject(info.Env(),
                    Make(arguments.format, arguments.cols, arguments.activations, stored, Live(info.Env())));
}

/// createGroupedMatrix(...GroupedArguments, planes Uint8Array): Matrix. They are only read.
Napi::Value PoolObject::CreateGroupedMatrix(const Napi::CallbackInfo& info) {
  const GroupedArguments arguments(info);
  const int64_t rows = arguments.rows;
  const StoredPlanes planes = arguments.Planes([&](size_t index, const char* name, int64_t row_bytes) {
    return std::make_shared<const StoredRows>(arguments.Bytes(index, name, rows * row_bytes), rows, row_bytes);
  });
  return MakeObject(info.Env(), MakeGroupedMatrix(arguments.spec, planes, arguments.activations, Live(info.Env())));
}

/// readGroupedMatrix(...GroupedArguments, planes Float64Array[n, 4]): Matrix | null. Planes' rows as in readMatrix.
Napi::Value PoolObject::ReadGroupedMatrix(const Napi::CallbackInfo& info) {
  const GroupedArguments arguments(info);
  const StoredPlanes planes = arguments.Planes([&](size_t index, const char* name, int64_t row_bytes) {
    return OpenRows(arguments, index, name, arguments.rows, row_bytes, files_);
  });
  if (planes.empty()) return info.Env().Null();
  return MakeObject(info.Env(), MakeGroupedMatrix(arguments.spec, planes, arguments.activations, Live(info.Env())));
}

/// deferGroupedMatrix: as readGroupedMatrix, packed later as by deferMatrix.
Napi::Value PoolObject::DeferGroupedMatrix(const Napi::CallbackInfo& info) {
  const GroupedArguments arguments(info);
  Live(info.Env());
  StoredPlanes planes = arguments.Planes([&](size_t index, const char* name, int64_t row_bytes) {
    return OpenRows(arguments, index, name, arguments.rows, row_bytes, files_);
  });
  if (planes.empty()) return info.Env().Null();
  return Defer(info.Env(), std::make_shared<DeferredMatrix>(
      std::move(planes), arguments.spec.cols,
      [spec = arguments.spec, activations = arguments.activations](const StoredPlanes& stored, ThreadPool& pool) {
        return MakeGroupedMatrix(spec, stored, activations, pool);
      }));
}

Napi::Value PoolObject::Defer(const Napi::Env& env, std::shared_ptr<DeferredMatrix> matrix) {
  if (queue_ == nullptr) queue_ = std::make_unique<PackQueue>();
  queue_->Add(matrix);
  return MakeObject(env, std::move(matrix));
}

/// readMatrix(format, rows, cols, runs Float64Array[n, 4], activations): Matrix | null. A run is rows of an open file:
/// descriptor, position of the first, bytes from one to the next, count. Null where they can't be had.
Napi::Value PoolObject::ReadMatrix(const Napi::CallbackInfo& info) {
  const MatrixArguments arguments(info);
  const auto stored = OpenRows(arguments, 3, "runs", arguments.rows, arguments.row_bytes, files_);
  if (stored == nullptr) return info.Env().Null();
  return MakeObject(info.Env(),
                    Make(arguments.format, arguments.cols, arguments.activations, *stored, Live(info.Env())));
}

/// deferMatrix(format, rows, cols, runs, activations): Matrix | null. As readMatrix, but packed later: by packMatrix, or
/// before that in the background. The files may be closed after the call.
Napi::Value PoolObject::DeferMatrix(const Napi::CallbackInfo& info) {
  const MatrixArguments arguments(info);
  Live(info.Env());
  std::shared_ptr<const StoredRows> stored = OpenRows(arguments, 3, "runs", arguments.rows, arguments.row_bytes, files_);
  if (stored == nullptr) return info.Env().Null();
  const auto [format, cols, activations] = std::tuple(arguments.format, arguments.cols, arguments.activations);
  return Defer(info.Env(), std::make_shared<DeferredMatrix>(
      StoredPlanes{std::move(stored)}, cols,
      [format = format, cols = cols, activations = activations](const StoredPlanes& planes, ThreadPool& pool) {
        return Make(format, cols, activations, *planes[0], pool);
      }));
}

/// packMatrix(matrix): boolean. Packs a deferred matrix where that is still to be done. False where its file has changed.
Napi::Value PoolObject::PackMatrix(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  MatrixObject& object = ObjectOf(arguments);
  ThreadPool& pool = Live(env);
  if (DeferredMatrix* deferred = object.Deferred(env)) {
    const PackQueue::StepAside aside(queue_.get());
    std::unique_ptr<Matrix> matrix = deferred->Take(pool);
    if (matrix == nullptr) return Napi::Boolean::New(env, false);
    object.Hold(std::move(matrix));
  }
  return Napi::Boolean::New(env, true);
}

/// pendingBytes: what deferred matrices will take that are not packed yet.
Napi::Value PoolObject::PendingBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), queue_ == nullptr ? 0.0 : static_cast<double>(queue_->PendingBytes()));
}

/// linear(matrix, y[n, rows], x[n, cols], n, bias[rows] | null)
void PoolObject::Linear(const Napi::CallbackInfo& info) {
  const LinearArguments arguments(info);
  float* y = arguments.Floats(1, "y", arguments.n * arguments.matrix.rows);
  arguments.matrix.Linear(y, arguments.Input(), Live(info.Env()));
}

/// gatedLinear(matrix, y[n, rows / 2], x[n, cols], n, bias[rows] | null, kind): half the rows are whole panels.
void PoolObject::GatedLinear(const Napi::CallbackInfo& info) {
  const LinearArguments arguments(info);
  const Matrix& matrix = arguments.matrix;
  if (matrix.rows % (2 * matrix.PanelRows()) != 0) ThrowRange(info.Env(), "a half of the matrix is not whole panels");
  const auto kind = static_cast<GatedKind>(arguments.Choice(5, "kind", kGatedKinds));
  float* y = arguments.Floats(1, "y", arguments.n * (matrix.rows / 2));
  matrix.GatedLinear(y, kind, arguments.Input(), Live(info.Env()));
}

/// linearParts(matrix, widths Int32Array[parts], x[n, cols], n, bias[rows] | null, ...y[n, width]): all parts but the last
/// are whole panels.
void PoolObject::LinearParts(const Napi::CallbackInfo& info) {
  const LinearArguments arguments(info);
  const Napi::Env env = info.Env();
  const Matrix& matrix = arguments.matrix;
  const int64_t num_parts = arguments.Length(1, "widths");
  const int32_t* widths = arguments.Integers(1, "widths", num_parts);
  std::vector<LinearPart> parts;
  int64_t total = 0;
  for (int64_t i = 0; i < num_parts; i++) {
    if (widths[i] < 0) ThrowRange(env, "a part has less than no width");
    if (total % matrix.PanelRows() != 0) ThrowRange(env, "a part before the last is not whole panels");
    total += widths[i];
    parts.push_back({arguments.Floats(static_cast<size_t>(5 + i), "y", arguments.n * widths[i]), widths[i]});
  }
  if (total != matrix.rows) ThrowRange(env, "the parts do not add up to the rows of the matrix");
  matrix.LinearParts(parts.data(), num_parts, arguments.Input(), Live(env));
}

/// embedding(matrix, out[n, cols], ids Int32Array[n]): boolean. A deferred matrix is not packed for it; false where its
/// file has changed.
Napi::Value PoolObject::Embedding(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Napi::Env env = info.Env();
  MatrixObject& object = ObjectOf(arguments);
  const DeferredMatrix* deferred = object.Deferred(env);
  const int64_t rows = deferred != nullptr ? deferred->rows : object.Live(env).rows;
  const int64_t cols = deferred != nullptr ? deferred->cols : object.Live(env).cols;
  const int64_t n = arguments.Length(2, "ids");
  const int32_t* ids = arguments.Integers(2, "ids", n);
  float* out = arguments.Floats(1, "out", n * cols);
  for (int64_t i = 0; i < n; i++) {
    if (ids[i] < 0 || ids[i] >= rows) {
      ThrowRange(env, "row " + std::to_string(ids[i]) + " is outside [0, " + std::to_string(rows) + ")");
    }
  }
  ThreadPool& pool = Live(env);
  if (deferred != nullptr) return Napi::Boolean::New(env, deferred->ReadRows(ids, n, out, pool));
  const Matrix& matrix = object.Live(env);
  pool.ParallelFor(n, [&](int64_t i, int) { matrix.ReadRow(ids[i], out + i * cols); });
  return Napi::Boolean::New(env, true);
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
  const StoredRows b_rows(reinterpret_cast<const uint8_t*>(b), n, k * static_cast<int64_t>(sizeof(float)));
  MakeDenseMatrix(Format::kFloat32, k, b_rows, pool)->Linear(out, {a, m, nullptr}, pool);
}

}  // namespace octavo
