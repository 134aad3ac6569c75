import type { OptionTable } from '@octavo/core'

/** One row per option; checks, flags, their help and docs/quantization-options.md derive from it. */
export const methodOptionTable = {
  scheme: {
    group: 'recipe',
    type: { kind: 'text' },
    default: 'W4A16',
    doc: 'What weights, and perhaps inputs, become: a preset of compressed-tensors such as `W4A16`, `W8A8` or `FP8_DYNAMIC`.',
  },
  method: {
    group: 'recipe',
    type: { kind: 'choice', choices: ['rtn', 'gptq', 'awq', 'auto-round'] },
    default: 'gptq',
    doc: 'How codes are found, `rtn`: rounded to the nearest, which needs no calibration; the others look at what layers are given.',
  },
  smoothQuant: {
    group: 'recipe',
    type: { kind: 'number', min: 0, max: 1 },
    default: null,
    otherwise: 'none',
    doc: 'Strength of SmoothQuant, which moves outliers of inputs into weights before they are quantized; 0.5 is usual.',
  },
  kvCacheScales: {
    group: 'recipe',
    type: { kind: 'choice', choices: ['fp8', 'int8'] },
    default: null,
    otherwise: 'none',
    doc: 'Finds scales of keys and values on the calibration texts too, for what runs the saved model with such a KV cache.',
  },
  ignore: {
    group: 'recipe',
    type: { kind: 'names' },
    default: null,
    otherwise: 'the head',
    doc: 'Modules that stay as they are, by name or `re:` and a pattern; may be repeated.',
  },
} as const satisfies OptionTable

export interface MethodOptions {
  readonly scheme?: string
  readonly method?: 'rtn' | 'gptq' | 'awq' | 'auto-round'
  readonly smoothQuant?: number
  readonly kvCacheScales?: 'fp8' | 'int8'
  readonly ignore?: string | readonly string[]
}
