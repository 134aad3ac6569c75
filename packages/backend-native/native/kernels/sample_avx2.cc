#include "sample_run.h"
#include "vec_avx2.h"

namespace octavo {

SampleKernels GetSampleAvx2() { return SampleRun<VecAvx2>::Kernels(); }

}  // namespace octavo
