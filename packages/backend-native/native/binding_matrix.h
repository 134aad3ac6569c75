// A packed weight as a JavaScript object: made by Pool.createMatrix, readMatrix or deferMatrix, freed by dispose or by the
// garbage collector.
#pragma once

#include <napi.h>

#include <memory>

#include "deferred_matrix.h"
#include "matrix.h"

namespace octavo {

class MatrixObject : public Napi::ObjectWrap<MatrixObject> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit MatrixObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MatrixObject>(info) {}
  void Finalize(Napi::BasicEnv env) override;

  void Hold(std::unique_ptr<Matrix> matrix);
  void Hold(std::shared_ptr<DeferredMatrix> matrix);
  /// Throws after dispose, and before a deferred matrix is packed.
  const Matrix& Live(Napi::Env env) const;
  /// The matrix while it waits to be packed, else null. Throws after dispose.
  DeferredMatrix* Deferred(Napi::Env env);

 private:
  Napi::Value Bytes(const Napi::CallbackInfo& info);
  Napi::Value PanelRows(const Napi::CallbackInfo& info);
  void ReadRow(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  // One of them, or none after dispose.
  std::unique_ptr<Matrix> matrix_;
  std::shared_ptr<DeferredMatrix> deferred_;
};

}  // namespace octavo
