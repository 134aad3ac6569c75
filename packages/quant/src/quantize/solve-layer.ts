import type { GroupedWeight } from '@octavo/core/quantization'
import type { DecoderLayer, LayerModule } from '../decoder-layer.ts'
import { collectMoments } from './input-moments.ts'
import type { InputMoments } from './input-moments.ts'
import { inModule } from './pass-options.ts'
import type { ModuleTask, QuantizingOptions, QuantizingPlan } from './pass-options.ts'
import { quantizeToNearest } from './round-to-nearest.ts'
import { matrixOf } from './weight-matrix.ts'

export interface SolvingOptions extends QuantizingOptions {
  /** An expert that is given fewer calibration tokens is rounded to nearest, which is said. Default 128. */
  readonly minExpertTokens?: number
}

export interface SolveOptions<T> {
  readonly tasks: readonly ModuleTask[]
  readonly minExpertTokens: number
  readonly solve: (task: ModuleTask, moments: InputMoments) => T
}

/**
 * Solves a layer's modules by what they are given, which is all that the layer computes before any of it is quantized. Not
 * among the answers are experts that were given too few tokens, and the embedding, whose inputs are token ids.
 */
export async function solveModules<T>(layer: DecoderLayer, options: SolveOptions<T>): Promise<Map<LayerModule, T>> {
  const { tasks, minExpertTokens, solve } = options
  const solved = new Map<LayerModule, T>()
  if (layer.kind === 'embedding') return solved
  const taskOf = new Map(tasks.map((task) => [task.module, task]))
  for await (const moments of collectMoments(layer, [...taskOf.keys()])) {
    for (const module of moments.modules) {
      if (module.role === 'expert' && moments.numTokens < minExpertTokens) continue
      const answer = inModule(layer, module, () => solve(taskOf.get(module)!, moments))
      solved.set(module, answer)
    }
  }
  return solved
}

export interface FinishOptions {
  readonly plan: QuantizingPlan
  readonly tasks: readonly ModuleTask[]
  readonly solved: ReadonlyMap<LayerModule, GroupedWeight>
}

/** Hands over what was solved, and rounds the rest to nearest, which is said. */
export function finishLayer(layer: DecoderLayer, { plan, tasks, solved }: FinishOptions): void {
  const names: string[] = []
  for (const { module, scheme } of tasks) {
    const weight = solved.get(module)
    if (weight === undefined && layer.kind !== 'embedding') names.push(module.name.slice(layer.name.length + 1))
    plan.finish(module, weight ?? inModule(layer, module, () => quantizeToNearest(matrixOf(module), scheme)))
  }
  if (names.length === 0) return
  const shown = names.length <= 6 ? names.join(', ') : `${names.slice(0, 6).join(', ')} and ${names.length - 6} more`
  plan.logger.warn(
    `${layer.name}: too few calibration tokens reached ${shown}: rounded to nearest. More calibration texts reach more experts`,
  )
}
