import { z } from 'zod'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import { isFloat8 } from './float8-codes.ts'
import { findFloat8, float8Grid } from './float8-tensors.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'
import { parseSection } from './section.ts'

const blockSize = z
  .int()
  .min(1)
  .max(2 ** 20)

const schema = z.object({
  activation_scheme: z.enum(['dynamic', 'static']).nullish(),
  weight_block_size: z.tuple([blockSize, blockSize]).nullish(),
})

/**
 * `fp8` (DeepSeek's blocks, transformers, AutoFP8), `fbgemm_fp8` and `mxfp8`: weights of eight-bit floats. Which modules are not
 * converted shows in their dtypes.
 */
export function createFp8Scheme(name: string): (section: QuantizationSection) => QuantizationScheme {
  return (section) => {
    const gridOf = float8Grid(parseSection(section, schema).weight_block_size ?? null)
    return {
      name,
      find(source, module) {
        const weight = source.raw(`${module}.weight`)
        return weight !== null && isFloat8(weight.dtype) ? findFloat8(source, { module, weight, gridOf }) : null
      },
    }
  }
}
