#include "binding_kv.h"

#include "binding.h"

namespace octavo {
namespace {

void CheckSlots(const Napi::Env& env, const int32_t* slots, int64_t n, const KvMemory& memory) {
  for (int64_t i = 0; i < n; i++) {
    if (slots[i] < 0 || slots[i] >= memory.num_slots) {
      ThrowRange(env, "slot " + std::to_string(slots[i]) + " is outside [0, " + std::to_string(memory.num_slots) + ")");
    }
  }
}

}  // namespace

Napi::Function KvObject::Define(Napi::Env env) {
  return DefineClass(env, "KvCache",
                     {
                         InstanceMethod<&KvObject::CopySlots>("copySlots"),
                         InstanceMethod<&KvObject::WriteRows>("writeRows"),
                         InstanceMethod<&KvObject::ReadRows>("readRows"),
                         InstanceMethod<&KvObject::Dispose>("dispose"),
                     });
}

KvObject::KvObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<KvObject>(info) {
  const Arguments arguments(info);
  const int64_t num_layers = arguments.Integer(0, "numLayers", 1, 1 << 16);
  const int64_t num_slots = arguments.Integer(1, "numSlots", 1, INT32_MAX);
  const int64_t width = arguments.Integer(2, "width", 1, 1 << 24);
  const int64_t head_dim = arguments.Integer(3, "headDim", 1, width);
  const auto type = static_cast<KvType>(arguments.Choice(4, "dtype", kKvTypes));
  if (width % head_dim != 0) ThrowRange(info.Env(), "width must be whole heads");
  if (static_cast<double>(num_layers) * static_cast<double>(num_slots) * static_cast<double>(width) >= 0x1p46) {
    ThrowRange(info.Env(), "the KV cache is larger than any memory");
  }
  memory_ = std::make_unique<KvMemory>(num_layers, num_slots, width / head_dim, head_dim, type);
  if (!memory_->is_valid()) {
    memory_.reset();
    ThrowRange(info.Env(), "the system has no room for the KV cache");
  }
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), static_cast<int64_t>(memory_->bytes()));
}

void KvObject::Finalize(Napi::BasicEnv env) {
  if (memory_ == nullptr) return;
  const int64_t bytes = static_cast<int64_t>(memory_->bytes());
  memory_.reset();
  Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
}

const KvMemory& KvObject::Live(Napi::Env env) const {
  if (memory_ == nullptr) ThrowType(env, "a KV storage was used after dispose");
  return *memory_;
}

/// copySlots(from, to, count)
void KvObject::CopySlots(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const KvMemory& memory = Live(info.Env());
  const int64_t count = arguments.Integer(2, "count", 0, memory.num_slots);
  const int64_t from = arguments.Integer(0, "from", 0, memory.num_slots - count);
  const int64_t to = arguments.Integer(1, "to", 0, memory.num_slots - count);
  if (from != to && from < to + count && to < from + count) ThrowRange(info.Env(), "the ranges of slots overlap");
  memory.CopySlots(from, to, count);
}

/// writeRows(layer, slots Int32Array[n], keys Float32Array[n, width], values Float32Array[n, width])
void KvObject::WriteRows(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const KvMemory& memory = Live(info.Env());
  const int64_t layer = arguments.Integer(0, "layer", 0, memory.num_layers - 1);
  const int64_t n = arguments.Length(1, "slots");
  const int32_t* slots = arguments.Integers(1, "slots", n);
  CheckSlots(info.Env(), slots, n, memory);
  const float* keys = arguments.Floats(2, "keys", n * memory.width);
  const float* values = arguments.Floats(3, "values", n * memory.width);
  KvWrite(memory.Layer(layer), keys, values, slots, n);
}

/// readRows(layer, slots Int32Array[n], keys Float32Array[n, width], values Float32Array[n, width]): the way back.
void KvObject::ReadRows(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const KvMemory& memory = Live(info.Env());
  const int64_t layer = arguments.Integer(0, "layer", 0, memory.num_layers - 1);
  const int64_t n = arguments.Length(1, "slots");
  const int32_t* slots = arguments.Integers(1, "slots", n);
  CheckSlots(info.Env(), slots, n, memory);
  float* keys = arguments.Floats(2, "keys", n * memory.width);
  float* values = arguments.Floats(3, "values", n * memory.width);
  KvRead(memory.Layer(layer), keys, values, slots, n);
}

void KvObject::Dispose(const Napi::CallbackInfo& info) { Finalize(info.Env()); }

}  // namespace octavo
