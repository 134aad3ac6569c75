import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { CheckpointError } from '../errors.ts'
import { findQuantization } from './quantization-section.ts'

const folder = mkdtempSync(join(tmpdir(), 'octavo-section-'))
afterAll(() => rmSync(folder, { recursive: true }))

const gptq = { quant_method: 'gptq', bits: 4 }

describe('findQuantization', () => {
  it('reads config.json before files beside it, and the text part of a multimodal one', () => {
    expect(findQuantization(folder, {})).toBe(null)
    expect(findQuantization(folder, { quantization_config: null, text_config: [] })).toBe(null)
    const file = join(folder, 'config.json')
    const inConfig = { file, method: null, json: gptq }
    expect(findQuantization(folder, { quantization_config: gptq })).toEqual(inConfig)
    expect(findQuantization(folder, { text_config: { quantization_config: gptq } })).toEqual(inConfig)
    const compression = { file, method: 'compressed-tensors', json: {} }
    expect(findQuantization(folder, { compression_config: {} })).toEqual(compression)
    for (const [name, method] of [
      ['hf_quant_config.json', 'modelopt'],
      ['quant_config.json', 'awq'],
      ['quantize_config.json', 'gptq'],
    ] as const) {
      const path = join(folder, name)
      writeFileSync(path, '{"bits": 4}')
      expect(findQuantization(folder, {})).toEqual({ file: path, method, json: { bits: 4 } })
      expect(findQuantization(folder, { quantization_config: gptq })).toEqual(inConfig)
    }
    writeFileSync(join(folder, 'quantize_config.json'), '[]')
    expect(() => findQuantization(folder, {})).toThrow(CheckpointError)
    for (const section of [5, 'gptq', []])
      expect(() => findQuantization(folder, { quantization_config: section })).toThrow(
        `its quantization_config is ${JSON.stringify(section)}, which says nothing`,
      )
  })
})
