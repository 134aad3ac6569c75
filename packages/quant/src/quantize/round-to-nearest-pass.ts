import { definePass } from '../decoder-layer.ts'
import type { LayerPass } from '../decoder-layer.ts'
import { inModule, planQuantizing } from './pass-options.ts'
import type { QuantizingOptions } from './pass-options.ts'
import { quantizeToNearest } from './round-to-nearest.ts'
import { matrixOf } from './weight-matrix.ts'

/** Rounds each weight to its nearest code: needs no calibration. */
export function roundToNearest(options: QuantizingOptions = {}): LayerPass {
  const plan = planQuantizing(options)
  return definePass({ name: 'roundToNearest', options: plan.identity, quantizes: true }, (layer) => {
    for (const { module, scheme } of plan.tasksOf(layer)) {
      const weight = inModule(layer, module, () => quantizeToNearest(matrixOf(module), scheme))
      plan.finish(module, weight)
    }
  })
}
