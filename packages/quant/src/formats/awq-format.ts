import { encodeAwq, QuantizationError } from '@octavo/core/quantization'
import type { CheckpointFormat, SavedModule } from './checkpoint-format.ts'

/** AutoAWQ's packer takes whole vectors of 32 outputs. */
const outputUnit = 32

/** AutoAWQ's "gemm": 4 bits in groups, one scheme for the whole model. */
export const awqFormat: CheckpointFormat = {
  name: 'awq',
  check({ name, role, weight, inputActivations }) {
    if (weight === null) return
    const { format, rows } = weight
    const refuse = (reason: string): never => {
      throw new QuantizationError(`AWQ's layout can't hold it: ${reason}; save as compressed-tensors`, { module: name })
    }
    const { bits, codebook, groupSize, scaleDtype, hasOrder } = format
    if (role === 'embedding' || role === 'head') refuse('it has no quantized embedding or head')
    if (codebook !== 'integers' || bits !== 4) refuse('it has integers of 4 bits')
    if (groupSize === 'channel') refuse('it has groups, not channels')
    if (hasOrder) refuse('it has no order of columns')
    if (scaleDtype !== 'float16') refuse(`its scales are float16, not ${scaleDtype}`)
    if (inputActivations !== null) refuse('inputs are not rounded in it')
    if (rows % outputUnit !== 0) refuse(`${rows} output features are no multiple of ${outputUnit}`)
  },
  encode: (weight) => encodeAwq(weight),
  section(modules) {
    const specs = modules.flatMap((module) =>
      module.weight === null ? [] : [{ module, format: module.weight.format }],
    )
    const first = specs[0]!.format
    const other = specs.find(({ format }) => format.groupSize !== first.groupSize || format.hasZeros !== first.hasZeros)
    if (other !== undefined)
      throw new QuantizationError(
        `AWQ's layout has one group size and one kind of zeros for all modules, and this one has others than ${specs[0]!.module.name}; save as compressed-tensors`,
        { module: other.module.name },
      )
    return {
      quant_method: 'awq',
      bits: 4,
      group_size: first.groupSize,
      zero_point: first.hasZeros,
      version: 'gemm',
      backend: 'autoawq',
      modules_to_not_convert: leftOut(modules),
    }
  },
}

/** Linear layers that are saved as floats. */
function leftOut(modules: readonly SavedModule[]): string[] {
  return modules.flatMap(({ name, role, weight }) => (weight === null && role !== 'embedding' ? [name] : []))
}
