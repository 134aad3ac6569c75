// What the parts of the Node-API binding share: checked arguments and the per-thread state of the addon.
#pragma once

#include <napi.h>

#include <cfloat>
#include <cstdint>
#include <string>

#include "formats.h"

namespace octavo {

/// One per thread that loads the addon: Node may load it into several at once.
struct AddonData {
  Napi::FunctionReference matrix_class;
  Napi::FunctionReference kv_class;
};

[[noreturn]] inline void ThrowType(const Napi::Env& env, const std::string& message) {
  throw Napi::TypeError::New(env, message);
}

[[noreturn]] inline void ThrowRange(const Napi::Env& env, const std::string& message) {
  throw Napi::RangeError::New(env, message);
}

/// Twice a product of two such counts fits in 64 bits.
constexpr int64_t kMaxCount = INT32_MAX;

// Enumerations as JavaScript names them, in their order.
constexpr const char* kActivationKinds[] = {"silu", "gelu", "gelu_tanh", "relu"};
constexpr const char* kGatedKinds[] = {"silu", "gelu", "gelu_tanh", "swiglu_oss"};
constexpr const char* kActivationFormats[] = {"float32", "int8", "int8-wide"};
constexpr const char* kKvTypes[] = {"float32", "bfloat16", "int8"};

/// The arguments of one call, read with their checks; errors name the argument.
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  Napi::Env Env() const { return info_.Env(); }
  bool IsNull(size_t index) const { return info_[index].IsNull() || info_[index].IsUndefined(); }

  double Number(size_t index, const char* name) const {
    if (!info_[index].IsNumber()) ThrowType(Env(), std::string(name) + " must be a number");
    return info_[index].As<Napi::Number>().DoubleValue();
  }

  /// A number in [min, max], not NaN.
  double Real(size_t index, const char* name, double min, double max) const {
    const double value = Number(index, name);
    if (!(value >= min && value <= max)) {
      ThrowRange(Env(), std::string(name) + " must be a number from " + std::to_string(min) + " to " + std::to_string(max) +
                            ", got " + std::to_string(value));
    }
    return value;
  }

  /// Finite as a float32.
  float Float(size_t index, const char* name, float min = -FLT_MAX) const {
    return static_cast<float>(Real(index, name, min, FLT_MAX));
  }

  /// One of `names`: its index.
  template <size_t kCount>
  int Choice(size_t index, const char* name, const char* const (&names)[kCount]) const {
    if (!info_[index].IsString()) ThrowType(Env(), std::string(name) + " must be a string");
    const std::string value = info_[index].As<Napi::String>().Utf8Value();
    std::string all;
    for (size_t i = 0; i < kCount; i++) {
      if (value == names[i]) return static_cast<int>(i);
      all += (i == 0 ? "" : ", ") + std::string(names[i]);
    }
    ThrowType(Env(), std::string(name) + " must be one of " + all + ", got " + value);
  }

  Format FormatName(size_t index, const char* name) const {
    static constexpr auto names = [] {
      struct { const char* all[sizeof kFormatLayouts / sizeof *kFormatLayouts] = {}; } list;
      for (size_t i = 0; i < sizeof kFormatLayouts / sizeof *kFormatLayouts; i++) list.all[i] = kFormatLayouts[i].name;
      return list;
    }();
    return static_cast<Format>(Choice(index, name, names.all));
  }

  bool Boolean(size_t index, const char* name) const {
    if (!info_[index].IsBoolean()) ThrowType(Env(), std::string(name) + " must be a boolean");
    return info_[index].As<Napi::Boolean>().Value();
  }

  /// An integer in [min, max].
  int64_t Integer(size_t index, const char* name, int64_t min, int64_t max) const {
    const double value = Number(index, name);
    const bool is_inside = value >= static_cast<double>(min) && value <= static_cast<double>(max);
    if (!is_inside || value != static_cast<double>(static_cast<int64_t>(value))) {
      ThrowRange(Env(), std::string(name) + " must be an integer from " + std::to_string(min) + " to " +
                            std::to_string(max) + ", got " + std::to_string(value));
    }
    return static_cast<int64_t>(value);
  }

  int64_t Count(size_t index, const char* name) const { return Integer(index, name, 0, kMaxCount); }

  float* Floats(size_t index, const char* name, int64_t length) const {
    return static_cast<float*>(Elements(index, name, napi_float32_array, "a Float32Array", length));
  }

  double* Doubles(size_t index, const char* name, int64_t length) const {
    return static_cast<double*>(Elements(index, name, napi_float64_array, "a Float64Array", length));
  }

  /// As Floats, null where the argument is null.
  float* OptionalFloats(size_t index, const char* name, int64_t length) const {
    return IsNull(index) ? nullptr : Floats(index, name, length);
  }

  int32_t* Integers(size_t index, const char* name, int64_t length) const {
    return static_cast<int32_t*>(Elements(index, name, napi_int32_array, "an Int32Array", length));
  }

  uint8_t* Bytes(size_t index, const char* name, int64_t length) const {
    return static_cast<uint8_t*>(Elements(index, name, napi_uint8_array, "a Uint8Array", length));
  }

  int64_t Length(size_t index, const char* name) const {
    if (!info_[index].IsTypedArray()) ThrowType(Env(), std::string(name) + " must be a typed array");
    return static_cast<int64_t>(info_[index].As<Napi::TypedArray>().ElementLength());
  }

  /// An object made by one of this addon's own classes.
  template <typename T>
  T& Object(size_t index, const char* name, const Napi::FunctionReference& constructor) const {
    const bool is_object = info_[index].IsObject();
    if (!is_object || !info_[index].As<Napi::Object>().InstanceOf(constructor.Value())) {
      ThrowType(Env(), std::string(name) + " is not an object of this addon");
    }
    return *Napi::ObjectWrap<T>::Unwrap(info_[index].As<Napi::Object>());
  }

 private:
  void* Elements(size_t index, const char* name, napi_typedarray_type type, const char* type_name,
                 int64_t length) const {
    const napi_env env = info_.Env();
    const napi_value value = info_[index];
    bool is_typed_array = false;
    napi_is_typedarray(env, value, &is_typed_array);
    napi_typedarray_type actual_type = napi_int8_array;
    size_t actual_length = 0;
    void* data = nullptr;
    if (is_typed_array) {
      napi_get_typedarray_info(env, value, &actual_type, &actual_length, &data, nullptr, nullptr);
    }
    if (!is_typed_array || actual_type != type) ThrowType(env, std::string(name) + " must be " + type_name);
    if (static_cast<int64_t>(actual_length) != length) {
      ThrowRange(env, std::string(name) + " has " + std::to_string(actual_length) + " elements, not " +
                          std::to_string(length));
    }
    return data;
  }

  const Napi::CallbackInfo& info_;
};

}  // namespace octavo
