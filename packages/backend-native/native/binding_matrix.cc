#include "binding_matrix.h"

#include <utility>

#include "binding.h"

namespace octavo {

Napi::Function MatrixObject::Define(Napi::Env env) {
  return DefineClass(env, "Matrix",
                     {
                         InstanceAccessor<&MatrixObject::Bytes>("bytes"),
                         InstanceAccessor<&MatrixObject::PanelRows>("panelRows"),
                         InstanceMethod<&MatrixObject::ReadRow>("readRow"),
                         InstanceMethod<&MatrixObject::Dispose>("dispose"),
                     });
}

// V8 is not told of the memory: it would collect garbage every few dozen megabytes while a model loads, though weights
// are freed by `dispose`.
void MatrixObject::Hold(std::unique_ptr<Matrix> matrix) {
  matrix_ = std::move(matrix);
  deferred_.reset();
}

void MatrixObject::Hold(std::shared_ptr<DeferredMatrix> matrix) { deferred_ = std::move(matrix); }

void MatrixObject::Finalize(Napi::BasicEnv) {
  if (deferred_ != nullptr) deferred_->Abandon();
  deferred_.reset();
  matrix_.reset();
}

const Matrix& MatrixObject::Live(Napi::Env env) const {
  if (deferred_ != nullptr) ThrowType(env, "a deferred weight was used before it was packed");
  if (matrix_ == nullptr) ThrowType(env, "a packed weight was used after dispose");
  return *matrix_;
}

DeferredMatrix* MatrixObject::Deferred(Napi::Env env) {
  if (deferred_ != nullptr) {
    if (std::unique_ptr<Matrix> matrix = deferred_->TryTake()) Hold(std::move(matrix));
  } else {
    Live(env);
  }
  return deferred_.get();
}

Napi::Value MatrixObject::Bytes(const Napi::CallbackInfo& info) {
  const DeferredMatrix* deferred = Deferred(info.Env());
  const double bytes = deferred != nullptr ? static_cast<double>(deferred->bytes) : static_cast<double>(matrix_->Bytes());
  return Napi::Number::New(info.Env(), bytes);
}

Napi::Value MatrixObject::PanelRows(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(Live(info.Env()).PanelRows()));
}

/// readRow(row, out Float32Array[cols])
void MatrixObject::ReadRow(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const Matrix& matrix = Live(info.Env());
  const int64_t row = arguments.Integer(0, "row", 0, matrix.rows - 1);
  matrix.ReadRow(row, arguments.Floats(1, "out", matrix.cols));
}

void MatrixObject::Dispose(const Napi::CallbackInfo& info) { Finalize(info.Env()); }

}  // namespace octavo
