import { definePass } from '../decoder-layer.ts'
import type { LayerPass } from '../decoder-layer.ts'
import { createGptqFactor } from './gptq-factor.ts'
import type { GptqFactor } from './gptq-factor.ts'
import { resolveGptqOptions, sortedGroup, walkColumns } from './gptq.ts'
import type { GptqOptions } from './gptq.ts'
import type { InputMoments } from './input-moments.ts'
import { planQuantizing } from './pass-options.ts'
import type { ModuleTask, QuantizingPlan } from './pass-options.ts'
import { finishLayer, solveModules } from './solve-layer.ts'
import type { SolvingOptions } from './solve-layer.ts'
import { matrixOf } from './weight-matrix.ts'
import type { GroupedWeight } from '@octavo/core/quantization'

export interface GptqPassOptions extends SolvingOptions, GptqOptions {}

/**
 * GPTQ (Frantar et al. 2022, arXiv 2210.17323) over the linear layers of each decoder layer: the layer's inputs are what the
 * quantized layers before it compute.
 */
export function gptq(options: GptqPassOptions = {}): LayerPass {
  const plan = planQuantizing(options)
  const solver = resolveGptqOptions(options)
  const { minExpertTokens = 128 } = options
  const identity = { plan: plan.identity, solver, minExpertTokens }
  return definePass({ name: 'gptq', options: identity, needsCalibration: true, quantizes: true }, async (layer) => {
    const tasks = plan.tasksOf(layer)
    const solved = await solveModules(layer, { tasks, minExpertTokens, solve: createGptqSolver(plan, solver) })
    finishLayer(layer, { plan, tasks, solved })
  })
}

/** Queries, keys and values share a factor. */
export function createGptqSolver(
  { logger }: QuantizingPlan,
  solver: Required<GptqOptions>,
): (task: ModuleTask, moments: InputMoments) => GroupedWeight {
  let last: { moments: InputMoments; group: number; factor: GptqFactor } | null = null
  return ({ module, scheme }, moments) => {
    const group = sortedGroup(scheme, moments.cols)
    if (last?.moments !== moments || last.group !== group) {
      last = null
      const factor = createGptqFactor(moments.sums, moments.cols, { ...solver, groupSize: group })
      last = { moments, group, factor }
    }
    const { weight, failedAt } = walkColumns(matrixOf(module), last.factor, { ...solver, scheme })
    if (failedAt !== null)
      logger.warn(
        `${module.name}: the moments of its inputs are not positive definite (column ${failedAt}): rounded to nearest. Raise the dampening above ${solver.dampening}, or take more calibration texts`,
      )
    return weight
  }
}
