#include "kernels.h"
#include "vector.h"
#include "attention.h"
#include "linear.h"
#include "rows.h"

const octavo::Kernels* octavo::Avx512Kernels() { return &kKernels; }
