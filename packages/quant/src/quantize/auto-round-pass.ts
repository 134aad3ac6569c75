import { definePass } from '../decoder-layer.ts'
import type { LayerPass } from '../decoder-layer.ts'
import { checkAutoRoundScheme, quantizeByAutoRound, resolveAutoRoundOptions } from './auto-round.ts'
import type { AutoRoundOptions } from './auto-round.ts'
import { planQuantizing } from './pass-options.ts'
import { resolveScheme } from './scheme-options.ts'
import { finishLayer, solveModules } from './solve-layer.ts'
import type { SolvingOptions } from './solve-layer.ts'
import { matrixOf } from './weight-matrix.ts'

export interface AutoRoundPassOptions extends SolvingOptions, AutoRoundOptions {}

/** AutoRound's sign gradient descent (arXiv 2309.05516), linear layer by linear layer: see `quantizeByAutoRound`. */
export function autoRound(options: AutoRoundPassOptions = {}): LayerPass {
  checkAutoRoundScheme(resolveScheme(options))
  const plan = planQuantizing(options)
  const tuning = resolveAutoRoundOptions(options)
  const { minExpertTokens = 128 } = options
  const identity = { plan: plan.identity, tuning, minExpertTokens }
  return definePass(
    { name: 'autoRound', options: identity, needsCalibration: true, quantizes: true },
    async (layer) => {
      const tasks = plan.tasksOf(layer)
      const solved = await solveModules(layer, {
        tasks,
        minExpertTokens,
        solve: ({ module, scheme }, { sums }) =>
          quantizeByAutoRound(matrixOf(module), sums, { ...tuning, scheme }).weight,
      })
      finishLayer(layer, { plan, tasks, solved })
    },
  )
}
