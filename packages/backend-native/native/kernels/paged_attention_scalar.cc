#include "paged_attention_kernel.h"
#include "vec_scalar.h"

namespace octavo {

void AttendScalar(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecScalar>(task, scratch).Attend();
}

void MergePartialsScalar(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecScalar>(task, scratch).MergePartials();
}

}  // namespace octavo
