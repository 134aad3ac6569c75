#include "paged_attention_kernel.h"
#include "vec_neon.h"

namespace octavo {

void AttendNeon(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecNeon>(task, scratch).Attend();
}

void MergePartialsNeon(const AttentionTask& task, float* scratch) {
  AttentionKernel<VecNeon>(task, scratch).MergePartials();
}

}  // namespace octavo
