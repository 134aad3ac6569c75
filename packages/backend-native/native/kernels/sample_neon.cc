#include "sample_run.h"
#include "vec_neon.h"

namespace octavo {

SampleKernels GetSampleNeon() { return SampleRun<VecNeon>::Kernels(); }

}  // namespace octavo
