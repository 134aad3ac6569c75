// Fused ops of TensorFlow on CPUs: linear layers and what works row by row. All compute in float32.
#include <algorithm>

#include "invalid_argument.h"
#include "kernels.h"
#include "parallel.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace octavo {
namespace {

namespace tf = tensorflow;

const float* Floats(const tf::Tensor& tensor) { return static_cast<const float*>(tensor.data()); }
float* Floats(tf::Tensor* tensor) { return static_cast<float*>(tensor->data()); }

/** Rows as they are shared out: a few items per thread, each long enough to be worth it. */
void ForRows(tf::OpKernelContext* context, int64_t num_rows, int64_t row_elements,
             const std::function<void(int64_t first, int64_t count)>& body) {
  constexpr int64_t kElements = 32 * 1024;
  const int64_t step = std::max<int64_t>(1, kElements / std::max<int64_t>(1, row_elements));
  ParallelFor(context, (num_rows + step - 1) / step,
              [&](int64_t item, int64_t) { body(item * step, std::min(step, num_rows - item * step)); });
}

// x [n, features], weight [outputs, features], bias [outputs] -> x weight^T + bias [n, outputs]
class LinearOp : public tf::OpKernel {
 public:
  using tf::OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* context) override {
    const tf::Tensor& x = context->input(0);
    const tf::Tensor& weight = context->input(1);
    OP_REQUIRES(context, x.dims() == 2 && weight.dims() == 2 && x.dim_size(1) == weight.dim_size(1),
                InvalidArgument("x ", x.shape().DebugString(), " and weight ", weight.shape().DebugString(),
                                " do not fit together"));
    const bool has_bias = context->num_inputs() == 3;
    OP_REQUIRES(context, !has_bias || context->input(2).NumElements() == weight.dim_size(0),
                InvalidArgument("a bias has as many elements as the weight rows"));
    tf::Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, tf::TensorShape({x.dim_size(0), weight.dim_size(0)}), &y));
    if (y->NumElements() == 0) return;
    const float* bias = has_bias ? Floats(context->input(2)) : nullptr;
    Multiply(context, {Floats(x), weight.data(), bias, Floats(y), x.dim_size(1), weight.dim_size(0)}, x.dim_size(0),
             weight.dtype() == tf::DT_BFLOAT16);
  }

 private:
  static void Multiply(tf::OpKernelContext* context, const Linear& linear, int64_t num_rows, bool is_bf16) {
    constexpr int64_t kRows = 96, kOutputs = 48;  // whole tiles of every instruction set
    const int64_t rows_step = std::min(kRows, num_rows);
    const int64_t row_items = (num_rows + rows_step - 1) / rows_step;
    const int64_t wanted = std::max<int64_t>(1, 8 * NumThreads(context) / row_items);
    const int64_t outputs = linear.num_outputs / wanted / kOutputs * kOutputs;
    const int64_t step = std::min<int64_t>(std::max(outputs, kOutputs), 480);
    const int64_t output_items = (linear.num_outputs + step - 1) / step;
    const auto kernel = is_bf16 ? BestKernels().linear_bf16 : BestKernels().linear;
    ParallelFor(context, output_items * row_items, [&](int64_t item, int64_t) {
      const int64_t output = item / row_items * step, row = item % row_items * rows_step;
      kernel(linear, {row, std::min(row + rows_step, num_rows), output, std::min(output + step, linear.num_outputs)});
    });
  }
};

// x, residual [n, features], weight [features], epsilon [] -> normed, and with a residual x + residual
class RmsNormOp : public tf::OpKernel {
 public:
  using tf::OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* context) override {
    const bool has_residual = context->num_inputs() == 4;
    const tf::Tensor& x = context->input(0);
    const tf::Tensor& weight = context->input(has_residual ? 2 : 1);
    const tf::Tensor& epsilon = context->input(has_residual ? 3 : 2);
    OP_REQUIRES(context, x.dims() == 2 && weight.NumElements() == x.dim_size(1) && epsilon.NumElements() == 1,
                InvalidArgument("x ", x.shape().DebugString(), " and weight ", weight.shape().DebugString(),
                                " do not fit together"));
    OP_REQUIRES(context, !has_residual || context->input(1).shape() == x.shape(),
                InvalidArgument("x and residual differ in shape"));
    tf::Tensor* normed = nullptr;
    tf::Tensor* sum = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &normed));
    if (has_residual) OP_REQUIRES_OK(context, context->allocate_output(1, x.shape(), &sum));
    const int64_t features = x.dim_size(1);
    const float* residual = has_residual ? Floats(context->input(1)) : nullptr;
    ForRows(context, x.dim_size(0), features, [&](int64_t first, int64_t count) {
      const int64_t at = first * features;
      BestKernels().rms_norm(Floats(x) + at, has_residual ? residual + at : nullptr, Floats(weight), *Floats(epsilon),
                             count, features, Floats(normed) + at, has_residual ? Floats(sum) + at : nullptr);
    });
  }
};

// gate_up [n, 2 * features], kind [] -> [n, features]
class GatedActivationOp : public tf::OpKernel {
 public:
  using tf::OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* context) override {
    const tf::Tensor& gate_up = context->input(0);
    const tf::Tensor& kind = context->input(1);
    OP_REQUIRES(context, gate_up.dims() == 2 && gate_up.dim_size(1) % 2 == 0 && kind.NumElements() == 1,
                InvalidArgument("a gated activation takes [n, 2 * features] and a kind"));
    const int32_t number = *static_cast<const int32_t*>(kind.data());
    OP_REQUIRES(context, number >= 0 && number <= static_cast<int32_t>(Gate::kSwigluOss),
                InvalidArgument("gated activation of kind ", number));
    const int64_t features = gate_up.dim_size(1) / 2;
    tf::Tensor* out = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, tf::TensorShape({gate_up.dim_size(0), features}), &out));
    ForRows(context, gate_up.dim_size(0), 4 * features, [&](int64_t first, int64_t count) {
      BestKernels().gated(static_cast<Gate>(number), Floats(gate_up) + first * 2 * features, count, features,
                          Floats(out) + first * features);
    });
  }
};

// x [n, heads * head_dim], table [positions, rotary_dim], rows [n] of the table, head_dim [] -> like x
class RotaryEmbeddingOp : public tf::OpKernel {
 public:
  using tf::OpKernel::OpKernel;

  void Compute(tf::OpKernelContext* context) override {
    const tf::Tensor& x = context->input(0);
    const tf::Tensor& table = context->input(1);
    const tf::Tensor& rows = context->input(2);
    OP_REQUIRES(context, x.dims() == 2 && table.dims() == 2 && rows.NumElements() == x.dim_size(0),
                InvalidArgument("x ", x.shape().DebugString(), ", table ", table.shape().DebugString(), " and ",
                                rows.NumElements(), " rows do not fit together"));
    OP_REQUIRES(context, context->input(3).NumElements() == 1, InvalidArgument("head_dim is one number"));
    const int64_t head_dim = *static_cast<const int32_t*>(context->input(3).data());
    const int64_t width = x.dim_size(1), rotary_dim = table.dim_size(1);
    OP_REQUIRES(context, head_dim > 0 && width % head_dim == 0 && rotary_dim <= head_dim && rotary_dim % 2 == 0,
                InvalidArgument(width, " columns, heads of ", head_dim, " and angles of ", rotary_dim,
                                " do not fit together"));
    const int32_t* table_rows = static_cast<const int32_t*>(rows.data());
    for (int64_t i = 0; i < rows.NumElements(); i++) {
      OP_REQUIRES(context, table_rows[i] >= 0 && table_rows[i] < table.dim_size(0),
                  InvalidArgument("row ", table_rows[i], " of a table of ", table.dim_size(0)));
    }
    tf::Tensor* out = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &out));
    ForRows(context, x.dim_size(0), width, [&](int64_t first, int64_t count) {
      for (int64_t row = first; row < first + count; row++) {
        BestKernels().rotate(Floats(x) + row * width, Floats(table) + table_rows[row] * rotary_dim, width / head_dim,
                             head_dim, rotary_dim, Floats(out) + row * width);
      }
    });
  }
};

}  // namespace

using tensorflow::shape_inference::UnknownShape;

REGISTER_OP("OctavoLinear")
    .Input("x: float")
    .Input("weight: T")
    .Output("y: float")
    .Attr("T: {float, bfloat16}")
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoLinearBias")
    .Input("x: float")
    .Input("weight: T")
    .Input("bias: float")
    .Output("y: float")
    .Attr("T: {float, bfloat16}")
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoRmsNorm")
    .Input("x: float")
    .Input("weight: float")
    .Input("epsilon: float")
    .Output("normed: float")
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoAddRmsNorm")
    .Input("x: float")
    .Input("residual: float")
    .Input("weight: float")
    .Input("epsilon: float")
    .Output("normed: float")
    .Output("sum: float")
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoGatedActivation")
    .Input("gate_up: float")
    .Input("kind: int32")
    .Output("out: float")
    .SetShapeFn(UnknownShape);
REGISTER_OP("OctavoRotaryEmbedding")
    .Input("x: float")
    .Input("table: float")
    .Input("rows: int32")
    .Input("head_dim: int32")
    .Output("out: float")
    .SetShapeFn(UnknownShape);

REGISTER_KERNEL_BUILDER(Name("OctavoLinear").Device(tf::DEVICE_CPU), LinearOp);
REGISTER_KERNEL_BUILDER(Name("OctavoLinearBias").Device(tf::DEVICE_CPU), LinearOp);
REGISTER_KERNEL_BUILDER(Name("OctavoRmsNorm").Device(tf::DEVICE_CPU), RmsNormOp);
REGISTER_KERNEL_BUILDER(Name("OctavoAddRmsNorm").Device(tf::DEVICE_CPU), RmsNormOp);
REGISTER_KERNEL_BUILDER(Name("OctavoGatedActivation").Device(tf::DEVICE_CPU), GatedActivationOp);
REGISTER_KERNEL_BUILDER(Name("OctavoRotaryEmbedding").Device(tf::DEVICE_CPU), RotaryEmbeddingOp);

}  // namespace octavo
