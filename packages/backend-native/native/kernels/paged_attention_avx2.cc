#include "paged_attention_kernel.h"
#include "vec_avx2.h"

namespace octavo {

void AttendAvx2(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecAvx2>(task, scratch).Attend();
}

void MergePartialsAvx2(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecAvx2>(task, scratch).MergePartials();
}

}  // namespace octavo
