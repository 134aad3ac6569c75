import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setBackend } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createBackend } from '../backends/backend.ts'
import { parseModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import { ggufConfig } from '../loading/gguf-config.ts'
import { convertToGguf } from '../loading/gguf-conversion.case.ts'
import { openGguf } from '../loading/gguf.ts'
import { float32Tensor, writeSafetensors } from '../loading/safetensors-file.case.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { JsonObject } from '../util/json-object.ts'
import { getModelDefinition } from './registry.ts'
import { StepRunner } from './step-runner.case.ts'

interface Variant {
  readonly name: string
  readonly config: JsonObject & { readonly model_type: string }
  readonly tensors: Readonly<Record<string, readonly number[]>>
  readonly ids: readonly number[]
  readonly last_logits: readonly number[]
}

const golden = fileURLToPath(new URL('../../../../fixtures/variants/golden.json', import.meta.url))
const { variants }: { variants: readonly Variant[] } = JSON.parse(readFileSync(golden, 'utf8'))
/** GGUF files do not say which activation a model has: that of its architecture. */
const inGguf = variants.filter(({ name }) => !/elu/.test(name))
const tolerance = 2e-3

/** As in fixtures/variants/make.py: a hash of each element's index, in (-0.5, 0.5). */
function weight(size: number, seed: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => {
    let value = (Math.imul(i, 2654435761) + seed * 40503) >>> 0
    value = Math.imul(value ^ (value >>> 16), 2246822519) >>> 0
    return ((value ^ (value >>> 13)) >>> 0) / 2 ** 32 - 0.5
  })
}

function fill(name: string, shape: readonly number[], seed: number): Float32Array {
  const values = weight(
    shape.reduce((a, b) => a * b, 1),
    seed,
  )
  if (shape.length === 2) {
    const fanIn = name.includes('c_') ? shape[0]! : shape[1]!
    const scale = /embed|wte|wpe/.test(name) ? 3 : 4 / Math.sqrt(fanIn)
    return values.map((value) => value * scale)
  }
  if (!/norm|ln_/.test(name)) return values
  return values.map((value) => value * 0.5 + (name.endsWith('bias') ? 0 : 1))
}

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'octavo-variants-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function write({ config, tensors }: Variant): string {
  const path = mkdtempSync(join(folder, 'model-'))
  writeFileSync(join(path, 'config.json'), JSON.stringify(config))
  const filled = Object.entries(tensors).map(([name, shape], i) => {
    return [name.replace(/^transformer\./, ''), float32Tensor(shape, fill(name, shape, i + 1))] as const
  })
  writeSafetensors(join(path, 'model.safetensors'), Object.fromEntries(filled))
  return path
}

async function lastLogits(
  variant: Variant,
  pack: BackendPack,
  { json, source }: { json: JsonObject; source: WeightSource },
): Promise<Float32Array> {
  const config = parseModelConfig(json, variant.name)
  const definition = await getModelDefinition(config)
  const model = definition.load({ config, source, pack, dtype: 'auto', communicator: singleRank })
  source.close()
  const runner = new StepRunner(model, pack)
  const sequence = runner.add(variant.ids)
  const logits = runner.step([{ sequence, numTokens: variant.ids.length }], 'last')[0]!
  runner.release(sequence)
  runner.dispose()
  model.dispose()
  return logits
}

function expectGolden(logits: Float32Array, { last_logits: expected }: Variant): void {
  const scale = Math.max(...expected.map(Math.abs))
  const worst = Math.max(...expected.map((value, i) => Math.abs(value - logits[i]!)))
  expect(logits.length).toBe(expected.length)
  expect(worst / scale).toBeLessThanOrEqual(tolerance)
}

describe.each(['cpu', 'wasm'])('what transformers computes, on the %s backend', (backend) => {
  let pack: BackendPack
  beforeAll(async () => {
    pack = (await createBackend(backend)).pack
  })
  afterAll(() => setBackend('cpu'))

  it.each(variants)('$name', async (variant) => {
    const source = openSafetensors(write(variant))
    expectGolden(await lastLogits(variant, pack, { json: variant.config, source }), variant)
  })

  it.each(inGguf)('$name, as a GGUF file', async (variant) => {
    const path = join(folder, 'model.gguf')
    writeFileSync(path, convertToGguf(write(variant), variant.config.model_type))
    const model = openGguf(path)
    expectGolden(await lastLogits(variant, pack, { json: ggufConfig(model), source: model.weights }), variant)
  })
})
