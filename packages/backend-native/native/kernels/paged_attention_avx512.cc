#include "paged_attention_kernel.h"
#include "vec_avx512.h"

namespace octavo {

void AttendAvx512(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecAvx512>(task, scratch).Attend();
}

void MergePartialsAvx512(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecAvx512>(task, scratch).MergePartials();
}

}  // namespace octavo
