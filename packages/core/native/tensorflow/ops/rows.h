// What works row by row: norms, gates, rotations.
namespace {

void RmsNorm(const float* x, const float* residual, const float* weight, float epsilon, int64_t num_rows,
             int64_t num_features, float* normed, float* sum) {
  for (int64_t row = 0; row < num_rows; row++) {
    const int64_t at = row * num_features;
    Vec squares = {};
    ForEachVector(num_features, [&](int64_t i, int64_t count) {
      Vec value = LoadPart(x + at + i, count);
      if (residual != nullptr) {
        value += LoadPart(residual + at + i, count);
        StorePart(sum + at + i, value, count);
      }
      squares += value * value;
    });
    const float factor = 1 / __builtin_sqrtf(Sum(squares) / static_cast<float>(num_features) + epsilon);
    const float* from = residual != nullptr ? sum + at : x + at;
    ForEachVector(num_features, [&](int64_t i, int64_t count) {
      StorePart(normed + at + i, LoadPart(from + i, count) * factor * LoadPart(weight + i, count), count);
    });
  }
}

inline Vec Gated(octavo::Gate kind, Vec gate, Vec up) {
  switch (kind) {
    case octavo::Gate::kSilu:
      return gate * Sigmoid(gate) * up;
    case octavo::Gate::kGeluTanh: {
      // x / 2 * (1 + tanh(z)) is x * sigmoid(2 z), with z = c * (x + 0.044715 x^3).
      const Vec twice = gate * (1.5957691216f + 0.0713548163f * gate * gate);
      return gate * Sigmoid(twice) * up;
    }
    case octavo::Gate::kSwigluOss: {
      const Vec low = gate < Spread(7) ? gate : Spread(7);
      const Vec clamped = Max(up < Spread(7) ? up : Spread(7), Spread(-7));
      return (clamped + 1.0f) * low * Sigmoid(low * 1.702f);
    }
  }
  return Vec{};
}

void GatedRows(octavo::Gate kind, const float* gate_up, int64_t num_rows, int64_t num_features, float* out) {
  for (int64_t row = 0; row < num_rows; row++) {
    const float* gate = gate_up + row * 2 * num_features;
    ForEachVector(num_features, [&](int64_t i, int64_t count) {
      const Vec result = Gated(kind, LoadPart(gate + i, count), LoadPart(gate + num_features + i, count));
      StorePart(out + row * num_features + i, result, count);
    });
  }
}

void Rotate(const float* x, const float* table_row, int64_t num_heads, int64_t head_dim, int64_t rotary_dim, float* out) {
  const int64_t half = rotary_dim / 2;
  for (int64_t head = 0; head < num_heads; head++) {
    const float* from = x + head * head_dim;
    float* to = out + head * head_dim;
    ForEachVector(half, [&](int64_t i, int64_t count) {
      const Vec first = LoadPart(from + i, count), second = LoadPart(from + half + i, count);
      const Vec cosine = LoadPart(table_row + i, count), sine = LoadPart(table_row + half + i, count);
      StorePart(to + i, first * cosine - second * sine, count);
      StorePart(to + half + i, second * cosine + first * sine, count);
    });
    for (int64_t i = rotary_dim; i < head_dim; i++) to[i] = from[i];
  }
}

constexpr octavo::Kernels kKernels = {
    LinearOf<float>, LinearOf<uint16_t>, AttendOf<float>, AttendOf<uint16_t>, ScratchFloats, RmsNorm, GatedRows, Rotate,
};

}  // namespace
