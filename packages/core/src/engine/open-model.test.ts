import { fileURLToPath } from 'node:url'
import { setBackend } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { CheckpointError } from '../errors.ts'
import { StepRunner } from '../models/step-runner.case.ts'
import { openModel } from './open-model.ts'

const fixture = (path: string): string => fileURLToPath(new URL(`../../../../fixtures/${path}`, import.meta.url))
const ids = [5, 250, 33, 17, 99, 480, 2, 61]

let pack: BackendPack
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})

describe('openModel', () => {
  it.each(['llama-tied-llama3rope', 'gemma2', 'gpt2', 'qwen3-moe'])(
    '%s: its layers one by one, then norm and head, are the whole',
    async (folder) => {
      const opened = await openModel(fixture(`models/${folder}`), { pack })
      const { numLayers } = opened.config
      const whole = opened.load()
      const stages = [
        opened.load({ start: 0, end: 0 }),
        ...Array.from({ length: numLayers }, (_, index) => opened.loadLayer(index)),
        opened.load({ start: numLayers, end: numLayers }),
      ]
      const [expected, got] = [[whole], stages].map((models) => {
        const runner = new StepRunner(models, pack)
        const logits = runner.step([{ sequence: runner.add(ids), numTokens: ids.length }], 'all')
        runner.dispose()
        return logits
      })
      expect(got).toEqual(expected)
      for (const model of [whole, ...stages]) model.dispose()
      expect(pack.usedBytes).toBe(0)
    },
  )

  it('says what is no model', async () => {
    await expect(openModel(fixture('octavo-tiny-eval'), { pack })).rejects.toThrow(CheckpointError)
  })
})
