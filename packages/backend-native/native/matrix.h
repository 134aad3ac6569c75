// The contract between the binding and the matrix kernels: a weight in whatever layout its kernel likes best.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "formats.h"
#include "kernels/ops.h"
#include "stored_rows.h"
#include "thread_pool.h"

namespace octavo {

/// How quantized weights meet activations: widened to float32, or with activations in int8, one scale per block of 32 or
/// per 256 columns (kernels/linear_wide.h).
enum class Activations : int32_t { kFloat32, kInt8, kInt8Wide };

/// What a weight is multiplied by, and what is added.
struct LinearInput {
  const float* x;  // [n, cols]
  int64_t n;
  const float* bias;  // [rows] or null
};

/// Neighbouring rows of a weight, whose product goes to an array of their own.
struct LinearPart {
  float* y;  // [n, rows]
  int64_t rows;
};

/// A weight matrix [rows, cols] = [outFeatures, inFeatures], packed once at load, immutable afterwards.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols) : rows(rows), cols(cols) {}
  virtual ~Matrix() = default;

  /// y[n, rows] = x[n, cols] @ W^T + bias. Every output element is reduced in one order, whatever n is, however many
  /// threads run and wherever it goes: bit for bit the same alone, in a batch, and in the two functions below.
  void Linear(float* y, const LinearInput& input, ThreadPool& pool) const {
    const LinearPart whole = {y, rows};
    LinearParts(&whole, 1, input, pool);
  }

  /// As Linear, but each part's columns to its y; together they are all rows, and all but the last are whole panels.
  virtual void LinearParts(const LinearPart* parts, int64_t num_parts, const LinearInput& input,
                           ThreadPool& pool) const = 0;

  /// y[n, rows / 2] = act(gate) * up, where the first half of the rows makes the gate; both are whole panels. The product
  /// itself is held for some panels or tokens at a time only.
  virtual void GatedLinear(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const = 0;

  /// Rows that are computed together.
  virtual int64_t PanelRows() const = 0;

  /// The stored values of one row as float32.
  virtual void ReadRow(int64_t row, float* out) const = 0;

  /// Memory that the packed weight takes.
  virtual size_t Bytes() const = 0;

  const int64_t rows;
  const int64_t cols;
};

/// Null where the stored rows could not be read. They are only read during the call.
std::unique_ptr<Matrix> MakeDenseMatrix(Format format, int64_t cols, const StoredRows& stored, ThreadPool& pool);
std::unique_ptr<Matrix> MakeQuantizedMatrix(Format format, int64_t cols, const StoredRows& stored, Activations activations, ThreadPool& pool);

}  // namespace octavo
