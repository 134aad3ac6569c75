#include "binding_matrix.h"

#include <utility>

#include "binding.h"

namespace octavo {

Napi::Function MatrixObject::Define(Napi::Env env) {
  return DefineClass(env, "Matrix",
                     {
                         InstanceAccessor<&MatrixObject::Bytes>("bytes"),
                         InstanceMethod<&MatrixObject::ReadRow>("readRow"),
                         InstanceMethod<&MatrixObject::Dispose>("dispose"),
                     });
}

void MatrixObject::Hold(Napi::Env env, std::unique_ptr<Matrix> matrix) {
  matrix_ = std::move(matrix);
  accounted_bytes_ = static_cast<int64_t>(matrix_->Bytes());
  Napi::MemoryManagement::AdjustExternalMemory(env, accounted_bytes_);
}

void MatrixObject::Finalize(Napi::BasicEnv env) {
  if (matrix_ == nullptr) return;
  matrix_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env, -accounted_bytes_);
}

const Matrix& MatrixObject::Live(Napi::Env env) const {
  if (matrix_ == nullptr) ThrowType(env, "a packed weight was used after dispose");
  return *matrix_;
}

Napi::Value MatrixObject::Bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(Live(info.Env()).Bytes()));
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
