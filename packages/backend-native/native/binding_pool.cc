#include "binding_pool.h"

#include <algorithm>

#include "binding.h"
#include "kernels/ops.h"
#include "kernels/parallel_rows.h"
#include "probes.h"

namespace octavo {

Napi::Function PoolObject::Define(Napi::Env env) {
  return DefineClass(env, "Pool",
                     {
                         InstanceMethod<&PoolObject::Dispose>("dispose"),
                         InstanceMethod<&PoolObject::CreateMatrix>("createMatrix"),
                         InstanceMethod<&PoolObject::CreateGroupedMatrix>("createGroupedMatrix"),
                         InstanceMethod<&PoolObject::ReadGroupedMatrix>("readGroupedMatrix"),
                         InstanceMethod<&PoolObject::DeferGroupedMatrix>("deferGroupedMatrix"),
                         InstanceMethod<&PoolObject::ReadMatrix>("readMatrix"),
                         InstanceMethod<&PoolObject::DeferMatrix>("deferMatrix"),
                         InstanceMethod<&PoolObject::PackMatrix>("packMatrix"),
                         InstanceAccessor<&PoolObject::PendingBytes>("pendingBytes"),
                         InstanceMethod<&PoolObject::Linear>("linear"),
                         InstanceMethod<&PoolObject::GatedLinear>("gatedLinear"),
                         InstanceMethod<&PoolObject::LinearParts>("linearParts"),
                         InstanceMethod<&PoolObject::Embedding>("embedding"),
                         InstanceMethod<&PoolObject::MatMul>("matMul"),
                         InstanceMethod<&PoolObject::RmsNorm>("rmsNorm"),
                         InstanceMethod<&PoolObject::AddRmsNorm>("addRmsNorm"),
                         InstanceMethod<&PoolObject::LayerNorm>("layerNorm"),
                         InstanceMethod<&PoolObject::RotaryEmbedding>("rotaryEmbedding"),
                         InstanceMethod<&PoolObject::GatedActivation>("gatedActivation"),
                         InstanceMethod<&PoolObject::Activation>("activation"),
                         InstanceMethod<&PoolObject::PagedAttention>("pagedAttention"),
                         InstanceMethod<&PoolObject::Attention>("attention"),
                         InstanceMethod<&PoolObject::CopyColumns>("copyColumns"),
                         InstanceMethod<&PoolObject::ArgmaxRows>("argmaxRows"),
                         InstanceMethod<&PoolObject::SampleRows>("sampleRows"),
                         InstanceMethod<&PoolObject::AddGram>("addGram"),
                         InstanceMethod<&PoolObject::InverseFactor>("inverseFactor"),
                         InstanceMethod<&PoolObject::MeasureReadBandwidth>("measureReadBandwidth"),
                         InstanceMethod<&PoolObject::MeasureMultiply>("measureMultiply"),
                     });
}

PoolObject::PoolObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PoolObject>(info) {
  const int64_t threads = Arguments(info).Integer(0, "threads", 1, 1024);
  pool_ = std::make_unique<ThreadPool>(static_cast<int>(threads));
}

ThreadPool& PoolObject::Live(Napi::Env env) const {
  if (pool_ == nullptr) ThrowType(env, "a thread pool was used after dispose");
  return *pool_;
}

void PoolObject::Dispose(const Napi::CallbackInfo&) {
  queue_.reset();
  pool_.reset();
  sample_scratch_ = {};
}

/// rmsNorm(out[n, d], x[n, d], weight[d], n, d, epsilon)
void PoolObject::RmsNorm(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t n = arguments.Count(3, "n"), d = arguments.Count(4, "d");
  float* out = arguments.Floats(0, "out", n * d);
  const float* x = arguments.Floats(1, "x", n * d);
  const float* weight = arguments.Floats(2, "weight", d);
  octavo::RmsNorm(out, x, weight, n, d, arguments.Float(5, "epsilon", 0.0f), Live(info.Env()));
}

/// addRmsNorm(out[n, d], sum[n, d], x[n, d], residual[n, d], weight[d], n, d, epsilon)
void PoolObject::AddRmsNorm(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t n = arguments.Count(5, "n"), d = arguments.Count(6, "d");
  float* out = arguments.Floats(0, "out", n * d);
  float* sum = arguments.Floats(1, "sum", n * d);
  const float* x = arguments.Floats(2, "x", n * d);
  const float* residual = arguments.Floats(3, "residual", n * d);
  const float* weight = arguments.Floats(4, "weight", d);
  octavo::AddRmsNorm(out, sum, x, residual, weight, n, d, arguments.Float(7, "epsilon", 0.0f), Live(info.Env()));
}

/// layerNorm(out[n, d], x[n, d], weight[d], bias[d] | null, n, d, epsilon)
void PoolObject::LayerNorm(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t n = arguments.Count(4, "n"), d = arguments.Count(5, "d");
  float* out = arguments.Floats(0, "out", n * d);
  const float* x = arguments.Floats(1, "x", n * d);
  const float* weight = arguments.Floats(2, "weight", d);
  const float* bias = arguments.OptionalFloats(3, "bias", d);
  octavo::LayerNorm(out, x, weight, bias, n, d, arguments.Float(6, "epsilon", 0.0f), Live(info.Env()));
}

/// rotaryEmbedding(out[n, width], x[n, width], table[positions, rotaryDim], positions[n], width, headDim, rotaryDim)
void PoolObject::RotaryEmbedding(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  RotaryArgs args;
  args.n = arguments.Length(3, "positions");
  args.width = arguments.Integer(4, "width", 1, 1 << 24);
  args.head_dim = arguments.Integer(5, "headDim", 1, args.width);
  args.rotary_dim = arguments.Integer(6, "rotaryDim", 2, args.head_dim);
  if (args.width % args.head_dim != 0 || args.rotary_dim % 2 != 0) {
    ThrowRange(info.Env(), "width must be whole heads and rotaryDim even");
  }
  args.out = arguments.Floats(0, "out", args.n * args.width);
  args.x = arguments.Floats(1, "x", args.n * args.width);
  const int64_t table_length = arguments.Length(2, "table");
  args.table = arguments.Floats(2, "table", table_length);
  args.positions = arguments.Integers(3, "positions", args.n);
  const int64_t num_positions = table_length / args.rotary_dim;
  for (int64_t i = 0; i < args.n; i++) {
    if (args.positions[i] < 0 || args.positions[i] >= num_positions) {
      ThrowRange(info.Env(), "position " + std::to_string(args.positions[i]) + " is outside [0, " +
                                 std::to_string(num_positions) + ")");
    }
  }
  octavo::RotaryEmbedding(args, Live(info.Env()));
}

/// gatedActivation(out[n, m], gateUp[n, 2 * m], kind, n, m)
void PoolObject::GatedActivation(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const auto kind = static_cast<GatedKind>(arguments.Choice(2, "kind", kGatedKinds));
  const int64_t n = arguments.Count(3, "n"), m = arguments.Count(4, "m");
  float* out = arguments.Floats(0, "out", n * m);
  const float* gate_up = arguments.Floats(1, "gateUp", 2 * n * m);
  octavo::GatedActivation(out, gate_up, kind, n, m, Live(info.Env()));
}

/// activation(out[count], x[count], kind)
void PoolObject::Activation(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t count = arguments.Length(0, "out");
  const auto kind = static_cast<ActivationKind>(arguments.Choice(2, "kind", kActivationKinds));
  float* out = arguments.Floats(0, "out", count);
  octavo::Activation(out, arguments.Floats(1, "x", count), kind, count, Live(info.Env()));
}

/// copyColumns(out[n, count], x[n, width], n, width, first, count)
void PoolObject::CopyColumns(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t n = arguments.Count(2, "n"), width = arguments.Count(3, "width");
  const int64_t first = arguments.Integer(4, "first", 0, width);
  const int64_t count = arguments.Integer(5, "count", 0, width - first);
  float* out = arguments.Floats(0, "out", n * count);
  const float* x = arguments.Floats(1, "x", n * width);
  if (count == 0) return;
  octavo::ParallelRows(Live(info.Env()), n, count, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) std::copy_n(x + i * width + first, count, out + i * count);
  });
}

/// argmaxRows(out Int32Array[rows], x[rows, n], n)
void PoolObject::ArgmaxRows(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t rows = arguments.Length(0, "out");
  const int64_t n = arguments.Integer(2, "n", 1, INT32_MAX);
  int32_t* out = arguments.Integers(0, "out", rows);
  octavo::ArgmaxRows(out, arguments.Floats(1, "x", rows * n), rows, n, Live(info.Env()));
}

/// measureReadBandwidth(bytes): bytes per second that all threads together read from an array of that size.
Napi::Value PoolObject::MeasureReadBandwidth(const Napi::CallbackInfo& info) {
  const int64_t bytes = Arguments(info).Integer(0, "bytes", 1 << 20, INT64_C(1) << 36);
  return Napi::Number::New(info.Env(), ReadBandwidth(bytes, Live(info.Env())));
}

/// measureMultiply(): int8 multiplications and additions per second of all threads together, in the ISA in use.
Napi::Value PoolObject::MeasureMultiply(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), MultiplyRate(Live(info.Env())));
}

}  // namespace octavo
