// Threads and the operations that run on them, as a JavaScript object.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "kernels/sample.h"
#include "open_file.h"
#include "pack_queue.h"
#include "thread_pool.h"

namespace octavo {

/// Every operation works in place on the typed arrays' memory; the lengths of all arrays are checked, so that no call
/// from JavaScript can read or write elsewhere. Matrices are row-major.
class PoolObject : public Napi::ObjectWrap<PoolObject> {
 public:
  static Napi::Function Define(Napi::Env env);

  /// new Pool(threads)
  explicit PoolObject(const Napi::CallbackInfo& info);

 private:
  ThreadPool& Live(Napi::Env env) const;
  void Dispose(const Napi::CallbackInfo& info);
  /// A matrix that is packed later, or by the queue meanwhile.
  Napi::Value Defer(const Napi::Env& env, std::shared_ptr<DeferredMatrix> matrix);

  Napi::Value CreateMatrix(const Napi::CallbackInfo& info);
  Napi::Value CreateGroupedMatrix(const Napi::CallbackInfo& info);
  Napi::Value ReadGroupedMatrix(const Napi::CallbackInfo& info);
  Napi::Value DeferGroupedMatrix(const Napi::CallbackInfo& info);
  Napi::Value ReadMatrix(const Napi::CallbackInfo& info);
  Napi::Value DeferMatrix(const Napi::CallbackInfo& info);
  Napi::Value PackMatrix(const Napi::CallbackInfo& info);
  Napi::Value PendingBytes(const Napi::CallbackInfo& info);
  void Linear(const Napi::CallbackInfo& info);
  void GatedLinear(const Napi::CallbackInfo& info);
  void LinearParts(const Napi::CallbackInfo& info);
  Napi::Value Embedding(const Napi::CallbackInfo& info);
  void MatMul(const Napi::CallbackInfo& info);

  void RmsNorm(const Napi::CallbackInfo& info);
  void AddRmsNorm(const Napi::CallbackInfo& info);
  void LayerNorm(const Napi::CallbackInfo& info);
  void RotaryEmbedding(const Napi::CallbackInfo& info);
  void GatedActivation(const Napi::CallbackInfo& info);
  void Activation(const Napi::CallbackInfo& info);
  void PagedAttention(const Napi::CallbackInfo& info);
  void Attention(const Napi::CallbackInfo& info);
  void CopyColumns(const Napi::CallbackInfo& info);
  void ArgmaxRows(const Napi::CallbackInfo& info);
  void SampleRows(const Napi::CallbackInfo& info);
  void AddGram(const Napi::CallbackInfo& info);
  Napi::Value InverseFactor(const Napi::CallbackInfo& info);

  Napi::Value MeasureReadBandwidth(const Napi::CallbackInfo& info);
  Napi::Value MeasureMultiply(const Napi::CallbackInfo& info);

  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<PackQueue> queue_;  // from the first deferred matrix on
  OpenFiles files_;
  std::vector<SampleScratch> sample_scratch_;
};

}  // namespace octavo
