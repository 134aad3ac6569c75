// The addon's exports: classes Pool, Matrix and KvCache, and the choice of instruction set.
#include "binding.h"

#include "binding_kv.h"
#include "binding_matrix.h"
#include "binding_pool.h"
#include "cpu_features.h"

namespace octavo {
namespace {

Napi::Value GetBestIsa(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), IsaName(BestIsa())); }

Napi::Value GetIsa(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), IsaName(CurrentIsa())); }

/// setIsa(name): false where the CPU lacks it. For the whole process; matrices keep the one they were made under.
Napi::Value SetIsaByName(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) ThrowType(env, "isa must be a string");
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAmx, Isa::kNeon, Isa::kDotprod}) {
    if (name == IsaName(isa)) return Napi::Boolean::New(env, SetIsa(isa));
  }
  return Napi::Boolean::New(env, false);
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData;
  const Napi::Function matrix_class = MatrixObject::Define(env);
  const Napi::Function kv_class = KvObject::Define(env);
  data->matrix_class = Napi::Persistent(matrix_class);
  data->kv_class = Napi::Persistent(kv_class);
  env.SetInstanceData(data);
  exports.Set("Pool", PoolObject::Define(env));
  exports.Set("KvCache", kv_class);
  exports.Set("bestIsa", Napi::Function::New<GetBestIsa>(env, "bestIsa"));
  exports.Set("isa", Napi::Function::New<GetIsa>(env, "isa"));
  exports.Set("setIsa", Napi::Function::New<SetIsaByName>(env, "setIsa"));
  return exports;
}

NODE_API_MODULE(octavo_native, Initialize)

}  // namespace
}  // namespace octavo
