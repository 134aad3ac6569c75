#include "binding.h"
#include "binding_pool.h"
#include "kernels/gram.h"

namespace octavo {

/// addGram(sums Float64Array[width, width], x[n, width], n, width)
void PoolObject::AddGram(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t n = arguments.Count(2, "n"), width = arguments.Count(3, "width");
  double* sums = arguments.Doubles(0, "sums", width * width);
  octavo::AddGram(sums, arguments.Floats(1, "x", n * width), n, width, Live(info.Env()));
}

/// inverseFactor(matrix Float64Array[n, n], n): the column at which it is not positive definite, else -1.
Napi::Value PoolObject::InverseFactor(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int64_t n = arguments.Count(1, "n");
  double* matrix = arguments.Doubles(0, "matrix", n * n);
  return Napi::Number::New(info.Env(), static_cast<double>(octavo::InverseFactor(matrix, n, Live(info.Env()))));
}

}  // namespace octavo
