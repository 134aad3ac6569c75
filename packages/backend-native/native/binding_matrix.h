// A packed weight as a JavaScript object: made by Pool.createMatrix, freed by dispose or by the garbage collector.
#pragma once

#include <napi.h>

#include <memory>

#include "matrix.h"

namespace octavo {

class MatrixObject : public Napi::ObjectWrap<MatrixObject> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit MatrixObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MatrixObject>(info) {}
  void Finalize(Napi::BasicEnv env) override;

  void Hold(std::unique_ptr<Matrix> matrix);
  /// Throws after dispose.
  const Matrix& Live(Napi::Env env) const;

 private:
  Napi::Value Bytes(const Napi::CallbackInfo& info);
  Napi::Value PanelRows(const Napi::CallbackInfo& info);
  void ReadRow(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  std::unique_ptr<Matrix> matrix_;
};

}  // namespace octavo
