import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { memory } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createBackend } from '../backends/backend.ts'
import { float32Tensor, type WrittenTensor, writeSafetensors } from '../loading/safetensors-file.case.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import { errorOf } from './decode.case.ts'
import { loadModel } from './golden-models.case.ts'
import { StepRunner } from './step-runner.case.ts'

const bert = fileURLToPath(new URL('../../../../fixtures/models/bert-embed', import.meta.url))
const ids = [2, 42, 398, 329, 332, 3]
const root = mkdtempSync(join(tmpdir(), 'octavo-encoder-'))
afterAll(() => rmSync(root, { recursive: true }))

let pack: BackendPack
beforeAll(async () => {
  pack = (await createBackend('cpu')).pack
})

type Tensors = Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>

function readTensors(): Tensors {
  const source = openSafetensors(bert)
  const tensors = Object.fromEntries(
    source.names().map((name) => [name, { shape: source.get(name)!.shape, values: source.readFloat32(name) }]),
  )
  source.close()
  return tensors
}

function write(tensors: Readonly<Record<string, WrittenTensor>>, keys: object = {}): string {
  const folder = mkdtempSync(join(root, 'case-'))
  cpSync(bert, folder, { recursive: true })
  writeSafetensors(join(folder, 'model.safetensors'), tensors)
  const config: object = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...keys }))
  return folder
}

async function hiddenStates(path: string, typeIds?: readonly number[]): Promise<Float32Array[]> {
  const { numTensors } = memory()
  const model = await loadModel(path, { pack })
  const runner = new StepRunner(model, pack)
  const sequence = runner.add(ids, typeIds)
  const rows = runner.hiddenStates([{ sequence, numTokens: ids.length }])
  runner.dispose()
  model.dispose()
  expect(memory().numTensors).toBe(numTensors)
  expect(pack.usedBytes).toBe(0)
  return rows
}

function asFloats(tensors: Tensors): Record<string, WrittenTensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, values }]) => [name, float32Tensor(shape, values)]),
  )
}

describe('an encoder', () => {
  it('reads names of older files, and of those with the heads of pretraining', async () => {
    const renamed = Object.entries(asFloats(readTensors())).map(([name, tensor]): [string, WrittenTensor] => {
      const old = name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta')
      return [`bert.${old}`, tensor]
    })
    const leftovers = {
      'cls.predictions.decoder.weight': float32Tensor([640, 64], new Float32Array(640 * 64)),
      'cls.seq_relationship.bias': float32Tensor([2], [0, 0]),
    }
    const path = write({ ...Object.fromEntries(renamed), ...leftovers }, { architectures: ['BertForPreTraining'] })
    expect(await hiddenStates(path)).toEqual(await hiddenStates(bert))
  })

  it('computes with quantized weights as with what they stand for', async () => {
    const tensors = readTensors()
    const quantized = asFloats(tensors)
    const widened = asFloats(tensors)
    for (const [name, { shape, values }] of Object.entries(tensors)) {
      if (!/^encoder\..*\.weight$/.test(name) || shape.length !== 2) continue
      const [rows = 0, cols = 0] = shape
      const codes = new Int8Array(rows * cols)
      const scales = new Float32Array(rows)
      for (let row = 0; row < rows; row++) {
        const of = values.subarray(row * cols, (row + 1) * cols)
        scales[row] = of.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127
        of.forEach((value, col) => (codes[row * cols + col] = Math.round(value / scales[row]!)))
      }
      quantized[name] = { dtype: 'I8', shape, bytes: new Uint8Array(codes.buffer) }
      quantized[`${name}_scale`] = float32Tensor([rows, 1], scales)
      widened[name] = float32Tensor(
        shape,
        Float32Array.from(codes, (code, i) => code * scales[Math.floor(i / cols)]!),
      )
    }
    const section = {
      quant_method: 'compressed-tensors',
      format: 'int-quantized',
      config_groups: {
        group_0: { targets: ['Linear'], weights: { num_bits: 8, type: 'int', strategy: 'channel' } },
      },
    }
    const expected = await hiddenStates(write(widened))
    const rows = await hiddenStates(write(quantized, { quantization_config: section }))
    const original = await hiddenStates(bert)
    rows.forEach((row, token) => {
      const scale = Math.max(...expected[token]!.map(Math.abs))
      expect(errorOf(row, expected[token]!, scale)).toBeLessThan(1e-5)
      expect(errorOf(row, original[token]!, scale)).toBeLessThan(0.05)
    })
  })

  it('gives tokens of a type that its table does not have the last one', async () => {
    const of = (type: number): Promise<Float32Array[]> => hiddenStates(bert, [0, 0, 0, type, type, type])
    const [first, second, beyond] = [await of(0), await of(1), await of(7)]
    expect(beyond).toEqual(second)
    expect(second).not.toEqual(first)
  })
})
