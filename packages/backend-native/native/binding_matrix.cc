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
void MatrixObject::Hold(std::unique_ptr<Matrix> matrix) { matrix_ = std::move(matrix); }

void MatrixObject::Finalize(Napi::BasicEnv) { matrix_.reset(); }

const Matrix& MatrixObject::Live(Napi::Env env) const {
  if (matrix_ == nullptr) ThrowType(env, "a packed weight was used after dispose");
  return *matrix_;
}

Napi::Value MatrixObject::Bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(Live(info.Env()).Bytes()));
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
