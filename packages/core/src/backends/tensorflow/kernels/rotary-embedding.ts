import { rotaryEmbeddingKernel } from '../../../ops/rotary-embedding.ts'
import type { RotaryEmbeddingAttrs } from '../../../ops/rotary-embedding.ts'
import { assert } from '../../../util/assert.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import type { OpScope } from '../op-scope.ts'
import type { StepConstants } from '../step-constants.ts'
import { tensorflowKernel } from '../tensorflow-kernel.ts'
import { intAttr, tfDtype } from '../tf-op.ts'

/** One op of ours, or `x * cosines + swapped(x) * sines`, where `swapped` exchanges the two halves of the rotated dimensions. */
export const rotaryEmbeddingConfig = tensorflowKernel<RotaryEmbeddingAttrs>(
  rotaryEmbeddingKernel,
  ({ attrs, ops, steps, input }) => {
    const { headDim, rotaryDim } = attrs
    const x = input('x')
    if (ops.has('OctavoRotaryEmbedding') && x.dtype === tfDtype.float32) {
      const rows = steps.get(ops, attrs.positions, {
        name: 'rows',
        make: (own, keep) => keep(own.deviceInts(attrs.positions)),
      })
      return ops.run('OctavoRotaryEmbedding', [x, input('table'), rows, ops.device.scalar(headDim, tfDtype.int32)])
    }
    const [n = 0, features = 0] = x.shape
    const { cosines, sines } = angles(ops, input('table'), { ...attrs, steps, dtype: x.dtype })
    const heads = ops.reshape(x, [n, features / headDim, headDim])
    const swapped = swapHalves(ops, heads, { headDim, rotaryDim })
    const rotated = ops.run('AddV2', [ops.run('Mul', [heads, cosines]), ops.run('Mul', [swapped, sines])])
    return ops.reshape(rotated, [n, features])
  },
)

type HeadShape = Pick<RotaryEmbeddingAttrs, 'headDim' | 'rotaryDim'>

function swapHalves(ops: OpScope, heads: TfeTensor, { headDim, rotaryDim }: HeadShape): TfeTensor {
  const half = rotaryDim / 2
  const sizes = [half, half, ...(rotaryDim < headDim ? [headDim - rotaryDim] : [])]
  const numOutputs = sizes.length
  const inputs = [heads, ops.hostInts(sizes), ops.hostInt(2)]
  const [first, second, ...rest] = ops.runMany('SplitV', inputs, {
    numOutputs,
    attrs: [intAttr('num_split', numOutputs)],
  })
  assert(first !== undefined && second !== undefined, 'rotated dimensions have two halves')
  return ops.concat([second, first, ...rest], 2)
}

interface Angles {
  readonly cosines: TfeTensor // [n, 1, headDim]
  readonly sines: TfeTensor // [n, 1, headDim], negative for the first half of the rotated dimensions
}

/** The step's rows of the table, spread over whole heads: once for all layers, keys and queries. */
function angles(
  ops: OpScope,
  table: TfeTensor,
  { positions, headDim, rotaryDim, steps, dtype }: RotaryEmbeddingAttrs & { steps: StepConstants; dtype: number },
): Angles {
  return steps.get(ops, positions, {
    name: `angles ${table.id} ${headDim} ${dtype}`,
    make(ops, own) {
      const n = positions.length
      const half = rotaryDim / 2
      const rows = ops.gather(table, ops.deviceInts(positions)) // [n, rotaryDim]
      const part = (from: number): TfeTensor => ops.slice(rows, [0, from], [n, half])
      const rest = (value: number): TfeTensor[] =>
        rotaryDim === headDim
          ? []
          : [ops.run('Fill', [ops.hostInts([n, headDim - rotaryDim]), ops.device.scalar(value)])]
      const spread = (parts: readonly TfeTensor[]): TfeTensor =>
        own(ops.reshape(ops.cast(ops.concat(parts, 1), dtype), [n, 1, headDim]))
      const [cos, sin] = [part(0), part(half)]
      return {
        cosines: spread([cos, cos, ...rest(1)]),
        sines: spread([ops.run('Neg', [sin]), sin, ...rest(0)]),
      }
    },
  })
}
