// A paged KV cache as a JavaScript object.
#pragma once

#include <napi.h>

#include <memory>

#include "kv_memory.h"

namespace octavo {

class KvObject : public Napi::ObjectWrap<KvObject> {
 public:
  static Napi::Function Define(Napi::Env env);

  /// new KvCache(numLayers, numSlots, width, headDim, dtype: "float32" | "bfloat16" | "int8")
  explicit KvObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

  /// Throws after dispose.
  const KvMemory& Live(Napi::Env env) const;

 private:
  void CopySlots(const Napi::CallbackInfo& info);
  void WriteRows(const Napi::CallbackInfo& info);
  void ReadRows(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  std::unique_ptr<KvMemory> memory_;
};

}  // namespace octavo
