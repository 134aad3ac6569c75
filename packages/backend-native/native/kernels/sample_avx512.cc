#include "sample_run.h"
#include "vec_avx512.h"

namespace octavo {

SampleKernels GetSampleAvx512() { return SampleRun<VecAvx512>::Kernels(); }

}  // namespace octavo
