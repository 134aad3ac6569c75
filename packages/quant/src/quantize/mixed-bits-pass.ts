import { matMul, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { InvalidConfigError } from '@octavo/core/backend'
import { createGroupedReader } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import { definePass } from '../decoder-layer.ts'
import type { LayerModule, LayerPass } from '../decoder-layer.ts'
import { chooseBits } from './choose-bits.ts'
import type { BitsChoice, BitsBudget } from './choose-bits.ts'
import { createGptqSolver } from './gptq-pass.ts'
import type { GptqPassOptions } from './gptq-pass.ts'
import { resolveGptqOptions } from './gptq.ts'
import type { InputMoments } from './input-moments.ts'
import { planQuantizing } from './pass-options.ts'
import { resolveScheme } from './scheme-options.ts'
import { finishLayer, solveModules } from './solve-layer.ts'
import { matrixOf } from './weight-matrix.ts'

export interface MixedBitsOptions extends Omit<GptqPassOptions, 'bits' | 'bitsOf'> {
  /** What modules may have. Default 3, 4 and 8. */
  readonly choices?: readonly number[]
  /** Bits per weight of each decoder layer together, scales and zeros included. This or `maxError`. */
  readonly averageBits?: number
  /** What a module may lose: the squared error of its outputs over their squares. */
  readonly maxError?: number
}

interface Candidate extends BitsChoice {
  readonly weight: GroupedWeight
}

/**
 * GPTQ with as many bits for each linear layer as a budget asks for: each is quantized with all choices, and what it loses
 * is measured on the calibration tokens. Modules that cannot be measured get the most bits.
 */
export function mixedBits(options: MixedBitsOptions): LayerPass {
  const { choices = [3, 4, 8], averageBits, maxError, minExpertTokens = 128, ...others } = options
  const sorted = [...new Set(choices)].sort((a, b) => a - b)
  if (sorted.length === 0) throw new InvalidConfigError('choices', 'must name at least one number of bits, got none')
  if ((averageBits === undefined) === (maxError === undefined))
    throw new InvalidConfigError('averageBits', 'say either averageBits or maxError, and not both')
  const schemes = sorted.map((bits) => resolveScheme(withBits(others, bits)))
  const plan = planQuantizing(withBits(others, sorted.at(-1)!))
  const solver = resolveGptqOptions(options)
  const budget = { averageBits: averageBits ?? null, maxError: maxError ?? null }
  const identity = { plan: plan.identity, solver, minExpertTokens, choices: sorted, ...budget }
  return definePass(
    { name: 'mixedBits', options: identity, needsCalibration: true, quantizes: true },
    async (layer) => {
      const tasks = plan.tasksOf(layer)
      const solve = createGptqSolver(plan, solver)
      const measured = await solveModules(layer, {
        tasks,
        minExpertTokens,
        solve: (task, moments) =>
          schemes.map((scheme) => measure(task.module, solve({ module: task.module, scheme }, moments), moments)),
      })
      const modules = [...measured].map(([{ name }, candidates]) => ({ name, choices: candidates }))
      const chosen = chooseBits(modules, budgetOf(measured, budget))
      const weights = [...measured.values()].map((candidates, m) => candidates.find((c) => c === chosen[m])!.weight)
      finishLayer(layer, {
        plan,
        tasks,
        solved: new Map([...measured.keys()].map((module, m) => [module, weights[m]!])),
      })
    },
  )
}

function withBits(options: Omit<MixedBitsOptions, 'choices'>, bits: number): GptqPassOptions {
  return options.scheme === undefined
    ? { ...options, bits }
    : { ...options, scheme: { ...options.scheme, numBits: bits } }
}

function budgetOf(
  measured: ReadonlyMap<LayerModule, unknown>,
  { averageBits, maxError }: { averageBits: number | null; maxError: number | null },
): BitsBudget {
  if (maxError !== null) return { maxError }
  const numWeights = [...measured.keys()].reduce((sum, { rows, cols }) => sum + rows * cols, 0)
  return { maxBytes: (numWeights * averageBits!) / 8 }
}

function measure(module: LayerModule, weight: GroupedWeight, moments: InputMoments): Candidate {
  const { values, rows, cols } = matrixOf(module)
  const read = createGroupedReader(weight, weight.planes)
  const differences = new Float32Array(rows * cols)
  for (let row = 0; row < rows; row++) read(row, differences.subarray(row * cols, (row + 1) * cols))
  for (let i = 0; i < differences.length; i++) differences[i]! -= values[i]!
  const total = outputSquares(values, [rows, cols], moments)
  const error = total === 0 ? 0 : outputSquares(differences, [rows, cols], moments) / total
  return { bits: weight.format.bits, sizeInBytes: weight.planes.length, error, weight }
}

/** The sum of squares of what weights make of all tokens. */
function outputSquares(values: Float32Array, [rows, cols]: readonly [number, number], { sums }: InputMoments): number {
  // The upper triangle, its diagonal halved, is half of the form.
  const half = new Float32Array(sums)
  for (let col = 0; col < cols; col++) {
    half[col * (cols + 1)]! /= 2
    half.fill(0, col * cols, col * (cols + 1))
  }
  const output = tidy(() => matMul(tensor2d(values, [rows, cols]), tensor2d(half, [cols, cols])))
  const products = output.dataSync<'float32'>()
  output.dispose()
  let sum = 0
  for (let i = 0; i < products.length; i++) sum += 2 * products[i]! * values[i]!
  return sum
}
