#include "sample_run.h"
#include "vec_scalar.h"

namespace octavo {

SampleKernels GetSampleScalar() { return SampleRun<VecScalar>::Kernels(); }

}  // namespace octavo
