import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { chooseFormat, fileTypeOf, type GgufFileType } from './gguf-file-type.ts'

interface Mix {
  readonly numLayers: number
  readonly numExperts: number
  /** Slowest dimension first, by the name within a layer. */
  readonly shapes: Readonly<Record<string, readonly number[]>>
  /** What is no F32: of all layers, or of each. */
  readonly types: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

/** What llama.cpp's own quantizer made of models with random weights: few layers, eight experts, columns that are no blocks of 256. */
const { models } = JSON.parse(
  readFileSync(new URL('../../../../fixtures/gguf/mixes.json', import.meta.url), 'utf8'),
) as { readonly models: Readonly<Record<string, Mix>> }

const cases = Object.entries(models).flatMap(([model, mix]) =>
  Object.keys(mix.types).map((type) => [model, type as GgufFileType] as const),
)

describe('chooseFormat', () => {
  it.each(cases)("gives the tensors of %s as %s the types that llama.cpp's quantizer chooses", (model, fileType) => {
    const { numLayers, numExperts, shapes, types } = models[model]!
    const hasOutput = Object.hasOwn(shapes, 'output.weight')
    const context = { fileType, numLayers, numExperts, hasOutput, sharesManyHeads: false, hasImportance: false }
    for (const [part, shape] of Object.entries(shapes)) {
      const isGlobal = /^(token_embd|output|output_norm)\./.test(part)
      for (let layer = 0; layer < (isGlobal ? 1 : numLayers); layer++) {
        const name = isGlobal ? part : `blk.${layer}.${part}`
        const expected = types[fileType]![part] ?? 'F32'
        const format = chooseFormat({ name, shape, stored: 'float32' }, context)
        const type = { float32: 'F32', float16: 'F16' }[format as string] ?? format.toUpperCase()
        expect(type, name).toBe(typeof expected === 'string' ? expected : expected[layer])
      }
    }
  })

  it('guards the first layers of importance-weighted Q4_0, and heads that share values', () => {
    const context = { numLayers: 80, numExperts: 0, hasOutput: true, sharesManyHeads: true, hasImportance: true }
    const tensor = (name: string) => ({ name, shape: [8192, 8192], stored: 'float32' as const })
    expect(chooseFormat(tensor('blk.2.ffn_down.weight'), { ...context, fileType: 'Q4_0' })).toBe('q4_1')
    expect(chooseFormat(tensor('blk.12.attn_v.weight'), { ...context, fileType: 'Q4_K_S' })).toBe('q5_k')
  })

  it('knows the type of a file by its matrices', () => {
    expect(['q4_k', 'q8_0', 'bfloat16', 'float32'].map((format) => fileTypeOf(format as 'q4_k'))).toEqual([
      'Q4_K_M',
      'Q8_0',
      'BF16',
      'F32',
    ])
  })
})
