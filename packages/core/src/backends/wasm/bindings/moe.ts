import { moeKernel } from '../../../ops/moe.ts'
import type { MoeAttrs, MoeExpert } from '../../../ops/moe.ts'
import { routeTokens } from '../../../ops/moe-routing.ts'
import type { MoeRouting } from '../../../ops/moe-routing.ts'
import { assert } from '../../../util/assert.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { asWasmWeight, wasmKernel } from '../wasm-kernel.ts'
import { activationCodes } from '../wasm-kernels.ts'
import type { Pointer } from '../wasm-kernels.ts'
import type { WasmHeap } from '../wasm-heap.ts'
import type { WasmPackedWeight } from '../wasm-packed-weight.ts'
import type { WasmRuntime } from '../wasm-runtime.ts'
import { linearScratchBytes, runLinear } from './linear.ts'
import type { LinearArrays } from './linear.ts'

const floatBytes = Float32Array.BYTES_PER_ELEMENT

/**
 * Expert by expert in ascending index, each on the rows of its tokens: a token's results are added in that order,
 * and `linear` does not depend on how many rows there are.
 */
export const moeConfig = wasmKernel<MoeAttrs>(moeKernel, ({ inputs, attrs, runtime }) => {
  const { experts, topK } = attrs
  const [n, hiddenSize] = matrixShape(inputs.x)
  const logits = runtime.heap.floats(runtime.pointerOf(inputs.routerLogits), n * experts.length)
  const assignments = assignTokens(routeTokens(logits, experts.length, attrs), experts.length, topK)
  const out = runtime.createOutput(n, hiddenSize)
  runtime.heap.floats(out.pointer, n * hiddenSize).fill(0)
  const x = runtime.pointerOf(inputs.x)
  assignments.forEach((assignment, index) => {
    const expert = experts[index]
    assert(expert !== undefined, `moe: expert ${index} of ${experts.length}`)
    if (assignment.tokens.length > 0)
      runExpert(runtime, expert, { ...assignment, out: out.pointer, x, activation: attrs.activation })
  })
  return out.tensor
})

/** The tokens that chose one expert, ascending, and the weight that each gives it. */
interface Assignment {
  readonly tokens: number[]
  readonly weights: number[]
}

function assignTokens({ expertIds, weights }: MoeRouting, numExperts: number, topK: number): Assignment[] {
  const assignments = Array.from({ length: numExperts }, (): Assignment => ({ tokens: [], weights: [] }))
  expertIds.forEach((expert, i) => {
    const assignment = assignments[expert]
    assert(assignment !== undefined, `moe: expert ${expert} of ${numExperts}`)
    assignment.tokens.push(Math.floor(i / topK))
    assignment.weights.push(weights[i]!)
  })
  return assignments
}

interface ExpertCall extends Assignment {
  readonly out: Pointer // [n, hiddenSize], added to
  readonly x: Pointer // [n, hiddenSize]
  readonly activation: MoeAttrs['activation']
}

function runExpert(runtime: WasmRuntime, expert: MoeExpert, { tokens, weights, out, x, activation }: ExpertCall): void {
  const { heap, kernels } = runtime
  const gateUp = expert.gateUp.map(asWasmWeight)
  const down = asWasmWeight(expert.down)
  const n = tokens.length
  const [panel = 0, rows = 0, hidden = 0, gated = 0, tokenPointer = 0, weightPointer = 0, bias1 = 0, bias2 = 0] =
    heap.scratch(
      Math.max(...[...gateUp, down].map((weight) => linearScratchBytes(weight, n))),
      n * down.rows * floatBytes, // the expert's rows of x, later its results
      n * 2 * down.cols * floatBytes,
      n * down.cols * floatBytes, // first one of two parts of `hidden`
      n * Int32Array.BYTES_PER_ELEMENT,
      n * floatBytes,
      2 * down.cols * floatBytes,
      down.rows * floatBytes,
    )
  heap.ints(tokenPointer, n).set(tokens)
  heap.floats(weightPointer, n).set(weights)
  kernels.gatherRows(rows, x, tokenPointer, n, down.rows * floatBytes)
  const bias = copyBias(heap, bias1, expert.gateUpBias)
  projectGateUp(runtime, gateUp, { out: hidden, x: rows, n, bias, scratch: panel, part: gated })
  kernels.gatedActivation(gated, hidden, n, down.cols, activationCodes[activation])
  runLinear(runtime, down, { out: rows, x: gated, n, bias: copyBias(heap, bias2, expert.downBias), scratch: panel })
  kernels.scatterAddRows(out, rows, tokenPointer, weightPointer, n, down.rows)
}

interface GateUpArrays extends LinearArrays {
  readonly part: Pointer // [n, rows of one of several parts]
}

/** As `runLinear` with all parts in one weight: their results side by side in every row of out. */
function projectGateUp(runtime: WasmRuntime, parts: readonly WasmPackedWeight[], arrays: GateUpArrays): void {
  const { heap } = runtime
  const { out, n, bias, part } = arrays
  const width = parts.reduce((sum, { rows }) => sum + rows, 0)
  let first = 0
  for (const weight of parts) {
    const inPlace = n === 1 || parts.length === 1
    const target = inPlace ? out + first * floatBytes : part
    runLinear(runtime, weight, { ...arrays, out: target, bias: bias === 0 ? 0 : bias + first * floatBytes })
    if (!inPlace) {
      for (let i = 0; i < n; i++) {
        const row = heap.floats(part + i * weight.rows * floatBytes, weight.rows)
        heap.floats(out + (i * width + first) * floatBytes, weight.rows).set(row)
      }
    }
    first += weight.rows
  }
}

function copyBias(heap: WasmHeap, pointer: Pointer, bias: Float32Array | null): Pointer {
  if (bias === null) return 0
  heap.floats(pointer, bias.length).set(bias)
  return pointer
}
