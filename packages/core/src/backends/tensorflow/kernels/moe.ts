import type { GatedActivationKind } from '../../../ops/gated-activation.ts'
import { moeKernel } from '../../../ops/moe.ts'
import type { MoeAttrs, MoeExpert } from '../../../ops/moe.ts'
import { isDense } from '../../../tensor/dtype.ts'
import { isGrouped } from '../../../tensor/packed-weight.ts'
import type { PackedFormat } from '../../../tensor/packed-weight.ts'
import { assert } from '../../../util/assert.ts'
import { chooseBlockShape, layOutBlocks } from '../expert-blocks.ts'
import type { ExpertBlocks } from '../expert-blocks.ts'
import { routeOnDevice } from '../expert-routing.ts'
import type { DeviceRouting } from '../expert-routing.ts'
import { ExpertStack } from '../expert-stack.ts'
import type { ChosenExperts } from '../expert-stack.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import { withOps } from '../op-scope.ts'
import type { OpScope } from '../op-scope.ts'
import { asTfWeight, tensorflowKernel } from '../tensorflow-kernel.ts'
import { intAttr, tfDtype } from '../tf-op.ts'
import { activateGated } from './activation.ts'

/**
 * Choice and computation on the device: what the experts' weights are multiplied with are blocks of rows whose number
 * depends on the number of tokens alone, so nothing comes to the host.
 */
export const moeConfig = tensorflowKernel<MoeAttrs>(moeKernel, ({ attrs, ops, input }) => {
  const { experts, topK } = attrs
  const x = ops.cast(input('x'), ops.device.computeDtype)
  const [n = 0, features = 0] = x.shape
  const routing = routeOnDevice(ops, ops.cast(input('routerLogits'), tfDtype.float32), attrs)
  const layer = stackLayer(ops, experts)
  if (layer === null) return everyExpert(ops, x, { ...attrs, routing })
  const size = { numTokens: n, topK, numExperts: experts.length }
  const blocks = layOutBlocks(ops, routing.expertIds, size, chooseBlockShape(size, weightRows(ops, experts)))
  const results = runBlocks(ops, rowsOfBlocks(ops, x, { blocks, topK }), { ...attrs, blocks, layer })
  const chosen = blocks.places === null ? results : ops.gather(results, blocks.places)
  const perToken = ops.reshape(ops.cast(chosen, tfDtype.float32), [n, topK, features])
  const scaled = ops.run('Mul', [perToken, ops.reshape(routing.weights, [n, topK, 1])])
  return ops.run('Sum', [scaled, ops.hostInt(1)])
})

interface StackedLayer {
  readonly gateUp: readonly ExpertStack[]
  readonly down: ExpertStack
}

/** Null where weights of a projection differ in format, which checkpoints do not do of themselves. */
function stackLayer(ops: OpScope, experts: readonly MoeExpert[]): StackedLayer | null {
  const numParts = experts[0]?.gateUp.length ?? 0
  if (experts.some(({ gateUp }) => gateUp.length !== numParts)) return null
  const gateUp: ExpertStack[] = []
  for (let part = 0; part < numParts; part++) {
    const weights = experts.flatMap((expert) => expert.gateUp.slice(part, part + 1))
    const stack = ExpertStack.of(ops, weights.map(asTfWeight))
    if (stack === null) return null
    gateUp.push(stack)
  }
  const down = ExpertStack.of(
    ops,
    experts.map((expert) => asTfWeight(expert.down)),
  )
  return down === null ? null : { gateUp, down }
}

/** Fetching an expert takes about as long as multiplying so many rows: widening blocks, or a copy on a GPU, as many more. */
function weightRows(ops: OpScope, experts: readonly MoeExpert[]): number {
  const isDirect = experts.every(({ down }) => tfDtypeOf(down.format) === ops.device.computeDtype)
  return isDirect && !ops.device.isUsingGpuDevice ? 32 : 256
}

function tfDtypeOf(format: PackedFormat): number | null {
  return !isGrouped(format) && isDense(format) ? tfDtype[format] : null
}

/** Rows of `x` `[n, features]` in the order of the blocks. */
function rowsOfBlocks(ops: OpScope, x: TfeTensor, { blocks, topK }: { blocks: ExpertBlocks; topK: number }): TfeTensor {
  if (blocks.tokens !== null) return ops.gather(x, blocks.tokens)
  const [n = 0, features = 0] = x.shape
  const repeated = ops.run('Tile', [ops.reshape(x, [n, 1, features]), ops.hostInts([1, topK, 1])])
  return ops.reshape(repeated, [n * topK, features])
}

interface BlockRun {
  readonly experts: readonly MoeExpert[]
  readonly activation: GatedActivationKind
  readonly blocks: ExpertBlocks
  readonly layer: StackedLayer
}

/** Weights that are gathered at once on a GPU, in elements of one projection. */
const gatheredElements = 2 ** 26

/** rows `[numBlocks * blockRows, features]` → results of the same shape. */
function runBlocks(ops: OpScope, rows: TfeTensor, run: BlockRun): TfeTensor {
  const { blocks, experts } = run
  const elements = experts[0]?.gateUp.reduce((sum, part) => sum + part.rows * part.cols, 0) ?? 1
  const { isUsingGpuDevice } = ops.device
  const step = isUsingGpuDevice ? Math.max(1, Math.floor(gatheredElements / elements)) : 1
  const begins = isUsingGpuDevice ? [] : sliceBegins(ops, blocks)
  const results: TfeTensor[] = []
  for (let start = 0; start < blocks.numBlocks; start += step) {
    const count = Math.min(step, blocks.numBlocks - start)
    const result = withOps(ops.device, (own) => {
      const part = own.slice(rows, [start * blocks.blockRows, 0], [count * blocks.blockRows, -1])
      const begin = begins[start]
      const at = begin ?? own.cast(own.slice(blocks.experts, [start], [count]), tfDtype.int32)
      return own.release(runExperts(own, part, run, { count, at, isSlice: begin !== undefined }))
    })
    results.push(ops.take(result))
  }
  return ops.concat(results, 0)
}

/**
 * On a CPU a block's expert is a slice, which TensorFlow makes without a copy. Where it starts is computed there as well;
 * on a GPU that index would have to come to the host.
 */
function sliceBegins(ops: OpScope, { experts, numBlocks }: ExpertBlocks): TfeTensor[] {
  const padding = ops.hostInts([0, 0, 0, 3], [2, 2])
  const begins = ops.cast(ops.run('Pad', [ops.reshape(experts, [numBlocks, 1]), padding]), tfDtype.int32)
  return ops.runMany('Unpack', [begins], {
    numOutputs: numBlocks,
    attrs: [intAttr('num', numBlocks), intAttr('axis', 0)],
  })
}

function runExperts(
  ops: OpScope,
  rows: TfeTensor,
  { experts, activation, layer }: BlockRun,
  chosen: ChosenExperts,
): TfeTensor {
  const { gateUp, down } = layer
  const [first] = gateUp
  assert(first !== undefined, 'an expert has a projection')
  const products = gateUp.map((stack) => stack.multiply(ops, rows, chosen))
  const gateUpBiases = experts.map((expert) => expert.gateUpBias)
  const hidden = activateGated(ops, first.addBias(ops, ops.concat(products, 1), gateUpBiases, chosen), activation)
  const downBiases = experts.map((expert) => expert.downBias)
  return down.addBias(ops, down.multiply(ops, hidden, chosen), downBiases, chosen)
}

/** Every expert over all tokens, weighted by what the router gave it: for weights that do not stack. */
function everyExpert(
  ops: OpScope,
  x: TfeTensor,
  { experts, topK, activation, routing }: MoeAttrs & { routing: DeviceRouting },
): TfeTensor {
  const [n = 0, features = 0] = x.shape
  const ids = ops.reshape(routing.expertIds, [n, topK, 1])
  const weights = ops.reshape(routing.weights, [n, topK, 1])
  let total: TfeTensor | null = null
  for (const [e, expert] of experts.entries()) {
    const isChosen = ops.cast(ops.run('Equal', [ids, ops.floats(Float32Array.of(e), [])]), tfDtype.float32)
    const gate = ops.run('Sum', [ops.run('Mul', [isChosen, weights]), ops.hostInt(1)]) // [n, 1]
    const output = ops.cast(runExpert(ops, x, expert, activation), tfDtype.float32)
    // Where it was not chosen its result does not count, be it infinite.
    const part = ops.run('MulNoNan', [output, gate])
    total = total === null ? part : ops.run('AddV2', [total, part])
  }
  return total ?? ops.floats(new Float32Array(n * features), [n, features])
}

function runExpert(ops: OpScope, x: TfeTensor, expert: MoeExpert, activation: GatedActivationKind): TfeTensor {
  const { gateUp, down } = expert
  const biasOf = (bias: Float32Array | null): TfeTensor | null => (bias === null ? null : ops.floats(bias))
  const products = gateUp.map((part) => asTfWeight(part).multiply(ops, x))
  const hidden = activateGated(ops, addBias(ops, ops.concat(products, 1), biasOf(expert.gateUpBias)), activation)
  return addBias(ops, asTfWeight(down).multiply(ops, hidden), biasOf(expert.downBias))
}

function addBias(ops: OpScope, x: TfeTensor, bias: TfeTensor | null): TfeTensor {
  return bias === null ? x : ops.run('AddV2', [x, ops.cast(bias, x.dtype)])
}
