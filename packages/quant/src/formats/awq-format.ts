import { awqMismatch, encodeAwq, QuantizationError } from '@octavo/core/quantization'
import type { CheckpointFormat } from './checkpoint-format.ts'
import { leftOut } from './left-out.ts'

/** AutoAWQ's packer takes whole vectors of 32 outputs. */
const outputUnit = 32

/** AutoAWQ's "gemm": 4 bits in groups, one scheme for the whole model. */
export const awqFormat: CheckpointFormat = {
  name: 'awq',
  hasCacheScales: false,
  check({ name, role, weight, inputActivations }) {
    if (weight === null) return
    const refuse = (reason: string): never => {
      throw new QuantizationError(`AWQ's layout can't hold it: ${reason}; save as compressed-tensors`, { module: name })
    }
    if (role === 'embedding' || role === 'head') refuse('it has no quantized embedding or head')
    const mismatch = awqMismatch(weight)
    if (mismatch !== null) refuse(mismatch)
    if (weight.format.groupSize === 'channel') refuse('it has groups, not channels')
    if (inputActivations !== null) refuse('inputs are not rounded in it')
    if (weight.rows % outputUnit !== 0) refuse(`${weight.rows} output features are no multiple of ${outputUnit}`)
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
