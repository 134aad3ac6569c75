import type { MoeRoutingOptions } from '../../ops/moe-routing.ts'
import { assert } from '../../util/assert.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import { boolAttr, tfDtype } from './tf-op.ts'

/** Each token's experts, from the largest logit down. */
export interface DeviceRouting {
  /** `[n, topK]`, whole numbers in float32: TensorFlow's int32 kernels of a GPU work on the host. */
  readonly expertIds: TfeTensor
  /** `[n, topK]`, beside `expertIds`. */
  readonly weights: TfeTensor
}

const keepDims = [boolAttr('keep_dims', true)]

/** `routeTokens` on the device: logits `[n, numExperts]` in float32; of equal logits the lower index wins, as there. */
export function routeOnDevice(
  ops: OpScope,
  logits: TfeTensor,
  { topK, scoring, renormalize }: MoeRoutingOptions,
): DeviceRouting {
  const [values, indices] = ops.runMany('TopKV2', [logits, ops.hostInt(topK)], { numOutputs: 2 })
  assert(values !== undefined && indices !== undefined, 'TopKV2 returns values and indices')
  const expertIds = ops.cast(indices, tfDtype.float32)
  // Over the kept logits alone: the kept probabilities divided by their sum.
  if (scoring === 'softmax_topk' || renormalize) return { expertIds, weights: ops.run('Softmax', [values]) }
  const max = ops.run('Max', [logits, ops.hostInt(1)], keepDims)
  const exponentials = (of: TfeTensor): TfeTensor => ops.run('Exp', [ops.run('Sub', [of, max])])
  const total = ops.run('Sum', [exponentials(logits), ops.hostInt(1)], keepDims)
  return { expertIds, weights: ops.run('RealDiv', [exponentials(values), total]) }
}
