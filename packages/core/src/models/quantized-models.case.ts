import { setBackend } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { decodeAlone, errorOf } from './decode.case.ts'
import { loadModel, readJson } from './golden-models.case.ts'
import { StepRunner, argmax } from './step-runner.case.ts'

/** Logits in float32 may differ by this share of the largest logit (fixtures/README.md). */
const exactTolerance = 2e-3

export interface QuantizedGolden {
  readonly checkpoints: readonly {
    readonly folder: string
    readonly outputs: readonly {
      readonly ids: readonly number[]
      readonly last_logits: readonly number[]
      readonly greedy_ids: readonly number[]
    }[]
  }[]
}

export interface DescribeQuantizedOptions {
  /** The folder of golden data, with a slash at its end. */
  readonly fixtures: string
  /** Makes the backend's pack and activates it. */
  readonly createPack: () => Promise<BackendPack>
}

/** Checkpoints in each quantized layout against what transformers computes of the dequantized weights. */
export function describeQuantizedModels(backend: string, { fixtures, createPack }: DescribeQuantizedOptions): void {
  describe(`quantized checkpoints on the ${backend} backend`, () => {
    const { checkpoints } = readJson<QuantizedGolden>(`${fixtures}quantized/golden.json`)
    const table: string[] = []
    let pack: BackendPack
    beforeAll(async () => {
      pack = await createPack()
    })
    afterAll(async () => {
      await setBackend('cpu')
      process.stdout.write(['backend | checkpoint | max logit error / max_abs_logit', ...table, ''].join('\n'))
    })

    it.each(checkpoints)('$folder', async ({ folder, outputs }) => {
      const model = await loadModel(`${fixtures}quantized/${folder}`, { pack })
      const runner = new StepRunner(model, pack)
      let worst = 0
      for (const { ids, last_logits: expected, greedy_ids: greedy } of outputs) {
        const scale = Math.max(...expected.map(Math.abs))
        const decoded = decodeAlone(runner, ids, { numTokens: greedy.length, nextToken: argmax })
        worst = Math.max(worst, errorOf(decoded.logits[0], expected, scale))
        expect(decoded.logits.map(argmax)).toEqual(greedy)
      }
      runner.dispose()
      model.dispose()
      expect(pack.usedBytes).toBe(0)
      table.push(`${backend} | ${folder} | ${worst.toExponential(1)}`)
      expect(worst).toBeLessThanOrEqual(exactTolerance)
    })
  })
}
