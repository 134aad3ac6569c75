import { attentionKernel, sequencesOf } from '../../../ops/attention.ts'
import type { AttentionAttrs } from '../../../ops/attention.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, optionalValuesOf, valuesOf } from '../cpu-kernel.ts'
import { attendSequence } from './attend-sequence.ts'

export const attentionKernelConfig = cpuKernel<AttentionAttrs>(attentionKernel, ({ inputs, attrs, backend }) => {
  const [numTokens, width] = matrixShape(inputs.query)
  const query = valuesOf(backend, inputs.query)
  const [keys, values] = [valuesOf(backend, inputs.key), valuesOf(backend, inputs.value)]
  const sinks = optionalValuesOf(backend, inputs.sinks)
  const out = new Float32Array(numTokens * width)
  for (const { firstQuery, numQueries, firstKey, numKeys } of sequencesOf(attrs)) {
    const rows = Int32Array.from({ length: numKeys }, (_, j) => firstKey + j)
    const [rowStart, rowEnd] = [firstQuery, firstQuery + numQueries]
    attendSequence(
      { ...attrs, out, query, sinks, headDim: width / attrs.numHeads, rowStart, rowEnd, numKeys },
      { keys, values, rows },
    )
  }
  return backend.makeTensorInfo([numTokens, width], 'float32', out)
})
