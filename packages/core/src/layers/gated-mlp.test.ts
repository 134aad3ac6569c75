import { fileURLToPath } from 'node:url'
import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { openGguf } from '../loading/gguf.ts'
import { singleRank } from './communicator.ts'
import { emptyContext } from './empty-context.case.ts'
import { createGatedMlp } from './gated-mlp.ts'
import { unquantized } from './linear-method.ts'
import type { LinearMethod } from './linear-method.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import type { Mlp } from './mlp.ts'
import { ReplayGroup } from './replay-group.case.ts'
import { WeightLoader } from './weight-loader.ts'

const fixture = fileURLToPath(new URL('../../../../fixtures/gguf/llama-q4_0.gguf', import.meta.url))
const [hiddenSize, intermediateSize] = [64, 128]

let pack: BackendPack
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})

it('is cut where the method of its second layer says', () => {
  const values = (rows: number, cols: number) => ({ shape: [rows, cols], values: randomValues(rows * cols, rows) })
  const source = new MemoryWeights({
    'gate.weight': values(12, 8),
    'up.weight': values(12, 8),
    'down.weight': values(8, 12),
  })
  const grouped: LinearMethod = { ...unquantized, columnUnit: (_, name) => (name === 'down.weight' ? 5 : 1) }
  const widths = new ReplayGroup(2).communicators.map((communicator) => {
    const loader = new WeightLoader({ source, pack, dtype: 'auto', communicator, linearMethods: () => grouped })
    const options = { prefixes: { gate: 'gate', up: 'up' }, downPrefix: 'down', hiddenSize: 8, intermediateSize: 12 }
    createGatedMlp(loader, { ...options, hasBias: false, activation: 'silu' })
    const width = loader.sizeInBytes / (3 * 8 * 4)
    loader.dispose()
    return width
  })
  expect(widths).toEqual([10, 2])
})

it('is cut between blocks, so that three ranks have two, one and one of four', () => {
  const { weights: source } = openGguf(fixture)
  const prefix = 'model.layers.0.mlp.'
  const group = new ReplayGroup(3)
  const loaders = [singleRank, ...group.communicators].map(
    (communicator) => new WeightLoader({ source, pack, dtype: 'auto', communicator }),
  )
  const [whole, ...ranks] = loaders.map((loader) =>
    createGatedMlp(loader, {
      prefixes: { gate: `${prefix}gate_proj`, up: `${prefix}up_proj` },
      downPrefix: `${prefix}down_proj`,
      hiddenSize,
      intermediateSize,
      hasBias: false,
      activation: 'silu',
    }),
  )
  const apply = (mlp: Mlp): Float32Array =>
    mlp
      .forward(tensor2d(randomValues(2 * hiddenSize, 5), [2, hiddenSize]), emptyContext())
      .dataSync<'float32'>()
      .slice()
  const [expected] = new ReplayGroup(1).run(() => apply(whole!))
  const blockBytes = (3 * hiddenSize * 18) / 32 // one q4_0 block's 32 features of gate, up and down projection
  expect(loaders.map(({ sizeInBytes }) => sizeInBytes / 32 / blockBytes)).toEqual([4, 2, 1, 1])
  for (const result of group.run((rank) => apply(ranks[rank]!)))
    result.forEach((value, i) => expect(value).toBeCloseTo(expected![i]!, 5))
  for (const loader of loaders) loader.dispose()
  source.close()
})
