import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setBackend } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { MemoryWeights } from '../layers/memory-weights.case.ts'
import { findQuantization } from '../loading/quantization-section.ts'
import { openGgufFile } from '../loading/gguf.ts'
import { ggufBytes } from '../loading/gguf-file.case.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import { storedBytes } from '../loading/weight-source.ts'
import { WeightView } from '../loading/weight-view.ts'
import { loadModel } from '../models/golden-models.case.ts'
import { createQuantizationScheme } from '../quantization/create-quantization-scheme.ts'
import { estimateWeightBytes } from './estimate-weight-bytes.ts'

const floats = (length: number, shape = [1, length]) => ({ shape, values: new Float32Array(length) })
const source = new MemoryWeights({
  'model.embed_tokens.weight': floats(1000),
  'model.layers.0.mlp.down_proj.weight': floats(100),
  'model.layers.0.norm.weight': floats(10, [10]),
  'model.layers.10.mlp.experts.3.down_proj.weight': floats(60),
  'h.1.attn.c_attn.weight': floats(40),
})
const whole = { dtype: 'auto', layers: undefined, numRanks: 1, numExpertRanks: 1, scheme: null } as const

describe('estimateWeightBytes', () => {
  it('counts what is stored, or what the dtype makes of matrices', () => {
    expect(estimateWeightBytes(source, whole)).toBe(4 * 1210)
    expect(estimateWeightBytes(source, { ...whole, dtype: 'bfloat16' })).toBe(2 * 1200 + 4 * 10)
  })

  it('counts a share of the weights, and of the experts', () => {
    expect(estimateWeightBytes(source, { ...whole, numRanks: 2, numExpertRanks: 3 })).toBe(4 * (1150 / 2 + 60 / 3))
  })

  it("counts GGUF's blocks as the codes and scales that they become", () => {
    const bytes = new Uint8Array(2 * 66)
    const file = join(mkdtempSync(join(tmpdir(), 'octavo-estimate-')), 'x.gguf')
    // IQ2_XXS: 2.0625 bits a weight, and 3 bits with a float32 for 32.
    writeFileSync(file, ggufBytes({ metadata: {}, tensors: [{ name: 'a.weight', type: 16, shape: [2, 256], bytes }] }))
    const { stored } = openGgufFile(file)
    const scheme = createQuantizationScheme({ file, method: 'gguf', json: {} })
    expect(estimateWeightBytes(stored, { ...whole, scheme })).toBe(2 * (96 + 32))
    stored.close()
    rmSync(dirname(file), { recursive: true })
  })

  it('leaves out the layers of other stages', () => {
    expect(estimateWeightBytes(source, { ...whole, layers: { start: 0, end: 1 } })).toBe(4 * 1110)
    expect(estimateWeightBytes(source, { ...whole, layers: { start: 1, end: 11 } })).toBe(4 * 1100)
  })

  it('counts the planes of quantized weights, or what they become in a dtype', () => {
    const path = fileURLToPath(new URL('../../../../fixtures/quantized/ct-int4', import.meta.url))
    const config = JSON.parse(readFileSync(`${path}/config.json`, 'utf8'))
    const weights = openSafetensors(path)
    const scheme = createQuantizationScheme(findQuantization(path, config)!)
    const isKept = (name: string): boolean => !name.endsWith('.weight_shape')
    const stored = weights.names().reduce((sum, name) => sum + (isKept(name) ? storedBytes(weights, name) : 0), 0)
    expect(estimateWeightBytes(weights, { ...whole, scheme })).toBe(stored)
    const { rows, cols } = scheme.find(new WeightView(weights), 'model.layers.0.self_attn.q_proj', 'linear')!
    expect([rows, cols]).toEqual([64, 64])
    const dense = estimateWeightBytes(weights, { ...whole, scheme, dtype: 'float32' })
    expect(dense).toBeGreaterThan(6 * stored * 0.7)
    weights.close()
  })

  // Scales become wider than they are stored, experts of a stack are modules, and buffers are left.
  it.each(['gpt-oss-mxfp4', 'modelopt-nvfp4', 'fp8-fused-experts', 'bnb-nf4-nested'])(
    'counts what is loaded of %s',
    async (folder) => {
      const path = fileURLToPath(new URL(`../../../../fixtures/quantized-floats/${folder}`, import.meta.url))
      await setBackend('cpu')
      const model = await loadModel(path, { pack: await createCpuPack() })
      const { weightBytes } = model
      model.dispose()
      const weights = openSafetensors(path)
      const config = JSON.parse(readFileSync(`${path}/config.json`, 'utf8'))
      const scheme = createQuantizationScheme(findQuantization(path, config)!)
      const estimate = estimateWeightBytes(weights, { ...whole, scheme })
      weights.close()
      // Vectors become float32.
      expect(weightBytes / estimate).toBeGreaterThan(0.98)
      expect(weightBytes / estimate).toBeLessThan(1.05)
    },
  )
})
