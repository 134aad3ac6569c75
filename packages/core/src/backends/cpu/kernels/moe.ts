import { moeKernel } from '../../../ops/moe.ts'
import type { MoeAttrs, MoeExpert } from '../../../ops/moe.ts'
import { routeTokens } from '../../../ops/moe-routing.ts'
import type { MoeRouting } from '../../../ops/moe-routing.ts'
import type { GatedActivationKind } from '../../../ops/gated-activation.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, valuesOf } from '../cpu-kernel.ts'
import { gatedActivation } from './gated-activation.ts'
import { linear } from './linear.ts'

/**
 * out, x `[n, hiddenSize]`. Tokens are grouped by expert so that a weight row is widened once for all of them.
 *
 * INVARIANT: experts run in ascending index and add to a row that starts at zero, so each token's sum has one order
 * whatever tokens share the batch.
 */
export function moe(
  out: Float32Array,
  x: Float32Array,
  routing: MoeRouting,
  attrs: MoeAttrs,
  hiddenSize: number,
): void {
  const { experts, topK, activation } = attrs
  out.fill(0)
  const choicesOf: number[][] = experts.map(() => []) // per expert, indices into the routing's [n, topK]
  routing.expertIds.forEach((expert, choice) => choicesOf[expert]!.push(choice))
  experts.forEach((expert, e) => {
    const choices = choicesOf[e]!
    if (choices.length === 0) return
    const tokens = choices.map((choice) => Math.floor(choice / topK))
    const output = runExpert(gatherRows(x, tokens, hiddenSize), expert, activation, tokens.length)
    choices.forEach((choice, i) => {
      addScaled(
        out,
        output,
        routing.weights[choice]!,
        Math.floor(choice / topK) * hiddenSize,
        i * hiddenSize,
        hiddenSize,
      )
    })
  })
}

function gatherRows(x: Float32Array, tokens: readonly number[], width: number): Float32Array {
  const rows = new Float32Array(tokens.length * width)
  tokens.forEach((token, i) => rows.set(x.subarray(token * width, (token + 1) * width), i * width))
  return rows
}

/** rows `[n, hiddenSize]` → `[n, hiddenSize]` */
function runExpert(rows: Float32Array, expert: MoeExpert, activation: GatedActivationKind, n: number): Float32Array {
  const { down, downBias } = expert
  const gateUpRows = projectGateUp(rows, expert, n)
  const hidden = new Float32Array(n * down.cols)
  gatedActivation(hidden, gateUpRows, n, down.cols, activation)
  const output = new Float32Array(n * down.rows)
  linear(output, hidden, down, downBias, n)
  return output
}

/** rows `[n, hiddenSize]` → `[n, 2 * intermediateSize]` */
function projectGateUp(rows: Float32Array, { gateUp, gateUpBias, down }: MoeExpert, n: number): Float32Array {
  const width = 2 * down.cols
  const out = new Float32Array(n * width)
  let first = 0
  for (const part of gateUp) {
    const end = first + part.rows
    const product = gateUp.length === 1 ? out : new Float32Array(n * part.rows)
    linear(product, rows, part, gateUpBias === null ? null : gateUpBias.subarray(first, end), n)
    if (product !== out) {
      for (let i = 0; i < n; i++) out.set(product.subarray(i * part.rows, (i + 1) * part.rows), i * width + first)
    }
    first = end
  }
  return out
}

function addScaled(
  out: Float32Array,
  rows: Float32Array,
  scale: number,
  outOffset: number,
  rowOffset: number,
  width: number,
): void {
  for (let k = 0; k < width; k++) out[outOffset + k] = out[outOffset + k]! + scale * rows[rowOffset + k]!
}

export const moeKernelConfig = cpuKernel<MoeAttrs>(moeKernel, ({ inputs, attrs, backend }) => {
  const [n, hiddenSize] = matrixShape(inputs.x)
  const routing = routeTokens(valuesOf(backend, inputs.routerLogits), attrs.experts.length, attrs)
  const out = new Float32Array(n * hiddenSize)
  moe(out, valuesOf(backend, inputs.x), routing, attrs, hiddenSize)
  return backend.makeTensorInfo([n, hiddenSize], 'float32', out)
})
