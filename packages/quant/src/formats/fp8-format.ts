import { encodeFloat8, float8Mismatch, QuantizationError } from '@octavo/core/quantization'
import type { Float8Layout } from '@octavo/core/quantization'
import type { CheckpointFormat, SharedRows } from './checkpoint-format.ts'
import { leftOut } from './left-out.ts'

const layout = (sharedRows: SharedRows): Float8Layout => ({ scaleName: 'weight_scale_inv', sharedRows })

/** DeepSeek's: e4m3 codes with a scale for each square block, as transformers and vLLM read it (`quant_method: fp8`). */
export const fp8Format: CheckpointFormat = {
  name: 'fp8',
  hasCacheScales: false,
  check({ name, role, weight, sharedRows }) {
    if (weight === null) return
    const refuse = (reason: string): never => {
      throw new QuantizationError(`the fp8 layout can't hold it: ${reason}; save as compressed-tensors`, {
        module: name,
      })
    }
    if (role === 'embedding' || role === 'head') refuse('it has no quantized embedding or head')
    const mismatch = float8Mismatch(weight, layout(sharedRows))
    if (mismatch !== null) refuse(mismatch)
    if (sharedRows === 1 || sharedRows === 'all') refuse('it has a scale for each block (scheme FP8_BLOCK)')
  },
  encode: (weight, { sharedRows }) => encodeFloat8(weight, layout(sharedRows)),
  section(modules) {
    const quantized = modules.filter(({ weight }) => weight !== null)
    const [first] = quantized
    const other = quantized.find(({ sharedRows }) => sharedRows !== first?.sharedRows)
    if (other !== undefined)
      throw new QuantizationError(
        `the fp8 layout has one size of blocks for all modules, and this one has others than ${first?.name}; save as compressed-tensors`,
        { module: other.name },
      )
    return {
      quant_method: 'fp8',
      fmt: 'e4m3',
      activation_scheme: 'dynamic',
      weight_block_size: [first?.sharedRows, first?.sharedRows],
      modules_to_not_convert: leftOut(modules),
    }
  },
}
