import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createBackend } from '../backends/backend.ts'
import { parseModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import { ggufConfig } from '../loading/gguf-config.ts'
import { convertToGguf } from '../loading/gguf-conversion.case.ts'
import { openGguf } from '../loading/gguf.ts'
import { float32Tensor, writeSafetensors } from '../loading/safetensors-file.case.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { JsonObject } from '../util/json-object.ts'
import type { CausalLM } from './model.ts'
import { getModelDefinition } from './registry.ts'
import { StepRunner } from './step-runner.case.ts'

interface Variant {
  readonly name: string
  readonly config: JsonObject & { readonly model_type: string }
  readonly tensors: Readonly<Record<string, readonly number[]>>
  readonly ids: readonly number[]
  /** Of a model that generates; the others have those of a classifier, by text or token, or hidden states. */
  readonly last_logits?: readonly number[]
  readonly logits?: readonly number[]
  readonly token_logits?: readonly (readonly number[])[]
  readonly hidden?: readonly (readonly number[])[] // of the first token, of that at 7, of the last
}

const golden = fileURLToPath(new URL('../../../../fixtures/variants/golden.json', import.meta.url))
const { variants }: { variants: readonly Variant[] } = JSON.parse(readFileSync(golden, 'utf8'))
/** GGUF files do not say which activation a model has: that of its architecture. */
const inGguf = variants.filter(({ name, last_logits: logits }) => logits !== undefined && !/elu/.test(name))
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
  if (!/norm|ln_/i.test(name)) return values
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
    const stored = config.model_type === 'gpt2' ? name.replace(/^transformer\./, '') : name
    return [stored, float32Tensor(shape, fill(name, shape, i + 1))] as const
  })
  writeSafetensors(join(path, 'model.safetensors'), Object.fromEntries(filled))
  return path
}

/** Rows of a variant, as `expectedRows` has them. */
async function computeRows(
  variant: Variant,
  pack: BackendPack,
  { json, source }: { json: JsonObject; source: WeightSource },
): Promise<Float32Array[]> {
  const config = parseModelConfig(json, variant.name)
  const definition = await getModelDefinition(config)
  const model = definition.load({ config, source, pack, dtype: 'auto', communicator: singleRank })
  source.close()
  const runner = new StepRunner(model, pack)
  const sequence = runner.add(variant.ids)
  const parts = [{ sequence, numTokens: variant.ids.length }]
  const rows =
    variant.last_logits === undefined
      ? pooledRows(model, variant, runner.hiddenStates(parts))
      : runner.step(parts, 'last')
  runner.release(sequence)
  runner.dispose()
  model.dispose()
  return rows
}

function pooledRows({ heads, config }: CausalLM, variant: Variant, hidden: readonly Float32Array[]): Float32Array[] {
  if (variant.hidden !== undefined) return [hidden[0]!, hidden[7]!, hidden.at(-1)!]
  const rows = variant.token_logits === undefined ? [hidden.at(config.encoder === null ? -1 : 0)!] : hidden
  return rows.map((row) =>
    // Heads are linears, which look at nothing of a context.
    tidy(() => heads!.classify!(tensor2d(row, [1, row.length]), {} as ForwardContext).dataSync<'float32'>()),
  )
}

function expectedRows(variant: Variant): readonly (readonly number[])[] {
  return variant.hidden ?? variant.token_logits ?? [variant.logits ?? variant.last_logits!]
}

function expectGolden(rows: readonly Float32Array[], variant: Variant): void {
  const expected = expectedRows(variant)
  expect(rows.map((row) => row.length)).toEqual(expected.map((row) => row.length))
  const scale = Math.max(...expected.flat().map(Math.abs))
  const worst = Math.max(...expected.flatMap((row, i) => row.map((value, j) => Math.abs(value - rows[i]![j]!))))
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
    expectGolden(await computeRows(variant, pack, { json: variant.config, source }), variant)
  })

  it.each(inGguf)('$name, as a GGUF file', async (variant) => {
    const path = join(folder, 'model.gguf')
    writeFileSync(path, convertToGguf(write(variant), variant.config.model_type))
    const model = openGguf(path)
    expectGolden(await computeRows(variant, pack, { json: ggufConfig(model), source: model.weights }), variant)
  })
})
