import type { ActivationScheme, WeightScheme } from '../weight-scheme.ts'

/** How weights, and perhaps inputs, of a group of modules are quantized. */
export interface QuantizationScheme {
  readonly weights: WeightScheme
  /** `null`: inputs stay as they are. */
  readonly inputActivations: ActivationScheme | null
}

const defaults: WeightScheme = {
  numBits: 8,
  type: 'int',
  isSymmetric: true,
  strategy: 'group',
  groupSize: 128,
  blockShape: null,
  scaleDtype: 'float16',
  observer: 'minmax',
}
const channel = { strategy: 'channel', groupSize: null } as const
const e4m3 = { ...defaults, type: 'float', scaleDtype: 'float32' } as const

const perToken: ActivationScheme = {
  numBits: 8,
  type: 'int',
  isSymmetric: true,
  strategy: 'token',
  groupSize: null,
  isDynamic: true,
}
const inGroups = (numBits: number, groupSize: number): ActivationScheme => ({
  ...perToken,
  numBits,
  type: 'float',
  strategy: 'group',
  groupSize,
})

function weightOnly(numBits: number): QuantizationScheme {
  return { weights: { ...defaults, numBits }, inputActivations: null }
}

function both(numBits: number, inputBits: number): QuantizationScheme {
  return { weights: { ...defaults, numBits }, inputActivations: { ...perToken, numBits: inputBits } }
}

const mxfp4: WeightScheme = { ...defaults, numBits: 4, type: 'float', groupSize: 32, scaleDtype: 'e8m0' }
const nvfp4: WeightScheme = { ...defaults, numBits: 4, type: 'float', groupSize: 16, scaleDtype: 'e4m3' }
const int8: QuantizationScheme = { weights: { ...defaults, ...channel }, inputActivations: perToken }

/** compressed-tensors' presets (`quant_scheme.py`). Those whose inputs have scales from calibration are not among them. */
export const schemePresets = {
  W2A16: weightOnly(2),
  W3A16: weightOnly(3),
  W4A16: weightOnly(4),
  W5A16: weightOnly(5),
  W6A16: weightOnly(6),
  W7A16: weightOnly(7),
  W8A16: weightOnly(8),
  W4A16_ASYM: { weights: { ...defaults, numBits: 4, isSymmetric: false }, inputActivations: null },
  W8A8: int8,
  INT8: int8,
  W2A4: both(2, 4),
  W2A8: both(2, 8),
  W3A4: both(3, 4),
  W3A8: both(3, 8),
  W4A4: both(4, 4),
  W4A8: both(4, 8),
  W5A8: both(5, 8),
  W6A8: both(6, 8),
  W7A8: both(7, 8),
  W4AFP8: { weights: { ...defaults, numBits: 4 }, inputActivations: { ...perToken, type: 'float' } },
  FP8_DYNAMIC: { weights: { ...e4m3, ...channel }, inputActivations: { ...perToken, type: 'float' } },
  FP8_BLOCK: {
    weights: { ...e4m3, strategy: 'block', groupSize: null, blockShape: [128, 128] },
    inputActivations: inGroups(8, 128),
  },
  NVFP4A16: { weights: nvfp4, inputActivations: null },
  MXFP4: { weights: mxfp4, inputActivations: inGroups(4, 32) },
  MXFP4A16: { weights: mxfp4, inputActivations: null },
} as const satisfies Readonly<Record<string, QuantizationScheme>>

export type SchemeName = keyof typeof schemePresets

/** Presets of compressed-tensors that are not offered, and what is. */
export const refusedPresets: Readonly<Record<string, string>> = {
  FP8: 'its inputs have one scale from calibration; FP8_DYNAMIC finds them for each token',
  MXFP8: 'no layout of it is written; FP8_BLOCK and FP8_DYNAMIC are',
  MXFP8A16: 'no layout of it is written; FP8_BLOCK and FP8_DYNAMIC are',
  NVFP4: 'its inputs have a scale from calibration; NVFP4A16 leaves them as they are',
}
