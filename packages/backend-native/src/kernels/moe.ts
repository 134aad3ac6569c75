import { assert, moeKernel, routeTokens } from '@octavo/core/backend'
import type { GatedActivationKind, MoeAttrs, MoeExpert, MoeRouting } from '@octavo/core/backend'
import type { NativeBackend } from '../native-backend.ts'
import { asNativeWeight, matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'
import { runGatedLinear } from './gated-linear.ts'

/** The tokens that chose one expert, ascending, and the weight that each gives it. */
interface Assignment {
  readonly tokens: number[]
  readonly weights: number[]
}

function assignTokens({ expertIds, weights }: MoeRouting, numExperts: number, topK: number): Assignment[] {
  const assignments = Array.from({ length: numExperts }, (): Assignment => ({ tokens: [], weights: [] }))
  expertIds.forEach((expert, choice) => {
    const assignment = assignments[expert]
    assert(assignment !== undefined, `moe: expert ${expert} of ${numExperts}`)
    assignment.tokens.push(Math.floor(choice / topK))
    assignment.weights.push(weights[choice]!)
  })
  return assignments
}

/** x `[numTokens, width]` → `[tokens.length, width]` */
function gatherRows(
  backend: NativeBackend,
  x: Float32Array,
  tokens: readonly number[],
  width: number,
): Float32Array<ArrayBuffer> {
  const rows = backend.allocate(tokens.length * width)
  tokens.forEach((token, i) => rows.set(x.subarray(token * width, (token + 1) * width), i * width))
  return rows
}

/** rows `[n, hiddenSize]` → `act(gate) * up` `[n, intermediateSize]` */
function projectGated(
  backend: NativeBackend,
  { gateUp, gateUpBias, down }: MoeExpert,
  call: { rows: Float32Array; n: number; kind: GatedActivationKind },
): Float32Array<ArrayBuffer> {
  const { rows, n, kind } = call
  const [whole] = gateUp
  assert(whole !== undefined, 'moe: an expert has a gate')
  if (gateUp.length === 1) return runGatedLinear(backend, whole, { x: rows, n, bias: gateUpBias, kind })
  const width = 2 * down.cols
  const products = backend.allocate(n * width)
  let first = 0
  for (const part of gateUp) {
    const product = backend.allocate(n * part.rows)
    const bias = gateUpBias?.subarray(first, first + part.rows) ?? null
    backend.pool.linear(asNativeWeight(part).matrix, product, rows, n, bias)
    for (let i = 0; i < n; i++) products.set(product.subarray(i * part.rows, (i + 1) * part.rows), i * width + first)
    backend.release(product)
    first += part.rows
  }
  const out = backend.allocate(n * down.cols)
  backend.pool.gatedActivation(out, products, kind, n, down.cols)
  backend.release(products)
  return out
}

/** rows `[n, hiddenSize]` → `[n, hiddenSize]` */
function runExpert(
  backend: NativeBackend,
  expert: MoeExpert,
  rows: Float32Array,
  n: number,
  activation: GatedActivationKind,
): Float32Array<ArrayBuffer> {
  const { down, downBias } = expert
  const hidden = projectGated(backend, expert, { rows, n, kind: activation })
  const output = backend.allocate(n * down.rows)
  backend.pool.linear(asNativeWeight(down).matrix, output, hidden, n, downBias)
  backend.release(hidden)
  return output
}

/**
 * Expert by expert in ascending index, each on the rows of its tokens: a token's results are added in that order to a
 * row that starts at zero, and `linear` does not depend on how many rows there are.
 */
export const moeConfig = nativeKernel<MoeAttrs>(moeKernel, ({ inputs, attrs, backend }) => {
  const { experts, topK, activation } = attrs
  const [n, width] = matrixShape(inputs.x)
  const x = valuesOf(backend, inputs.x)
  const routing = routeTokens(valuesOf(backend, inputs.routerLogits), experts.length, attrs)
  const out = backend.allocate(n * width).fill(0)
  assignTokens(routing, experts.length, topK).forEach(({ tokens, weights }, index) => {
    if (tokens.length === 0) return
    const rows = gatherRows(backend, x, tokens, width)
    const results = runExpert(backend, experts[index]!, rows, tokens.length, activation)
    tokens.forEach((token, i) =>
      addScaled(out, token * width, results.subarray(i * width, (i + 1) * width), weights[i]!),
    )
    backend.release(rows)
    backend.release(results)
  })
  return backend.makeOutput2d([n, width], out)
})

function addScaled(out: Float32Array, start: number, row: Float32Array, scale: number): void {
  for (let k = 0; k < row.length; k++) out[start + k] = out[start + k]! + scale * row[k]!
}
