import type { WeightFormat } from '@octavo/core/loading'
import { weightFormats } from '@octavo/core/loading'

/** `llama_ftype` of llama.cpp's llama.h, and the format that most matrices have. */
export const ggufFileTypes = {
  F32: { number: 0, format: 'float32' },
  F16: { number: 1, format: 'float16' },
  BF16: { number: 32, format: 'bfloat16' },
  Q8_0: { number: 7, format: 'q8_0' },
  Q4_0: { number: 2, format: 'q4_0' },
  Q4_1: { number: 3, format: 'q4_1' },
  Q5_0: { number: 8, format: 'q5_0' },
  Q5_1: { number: 9, format: 'q5_1' },
  Q4_K_S: { number: 14, format: 'q4_k' },
  Q4_K_M: { number: 15, format: 'q4_k' },
  Q5_K_S: { number: 16, format: 'q5_k' },
  Q5_K_M: { number: 17, format: 'q5_k' },
  Q6_K: { number: 18, format: 'q6_k' },
} as const satisfies Record<string, { number: number; format: WeightFormat }>

export type GgufFileType = keyof typeof ggufFileTypes

/** The type that a file is said to have most of whose tensors have this format. */
export function fileTypeOf(format: WeightFormat): GgufFileType {
  const own = ggufFileTypeNames.filter((name) => ggufFileTypes[name].format === format)
  return own.find((name) => name.endsWith('_M')) ?? own[0] ?? 'F32'
}

export const ggufFileTypeNames: readonly GgufFileType[] = Object.keys(ggufFileTypes).filter(
  (name): name is GgufFileType => Object.hasOwn(ggufFileTypes, name),
)

export interface MixContext {
  /** 'exact': as stored. */
  readonly fileType: GgufFileType | 'exact'
  readonly numLayers: number
  /** 0 for dense models. */
  readonly numExperts: number
  /** Whether there is an `output.weight`; else the embedding is the head too. */
  readonly hasOutput: boolean
  /** Grouped-query attention of 80 layers: llama.cpp's "70B". */
  readonly sharesManyHeads: boolean
  readonly hasImportance: boolean
}

/** What is asked of: GGUF's name, slowest dimension first. */
export interface MixTensor {
  readonly name: string
  readonly shape: readonly number[]
  /** What the checkpoint has it in. */
  readonly stored: WeightFormat
}

/**
 * The format of one tensor, as llama.cpp's quantizer chooses it (`llama-quant.cpp`, `llama_tensor_get_type`): more bits where
 * errors cost most, other formats where columns are no whole blocks, and float32 for vectors, norms, routers and positions.
 */
export function chooseFormat({ name, shape, stored }: MixTensor, context: MixContext): WeightFormat {
  if (shape.length < 2 || !name.endsWith('.weight') || /(_norm|ffn_gate_inp|position_embd)\.weight$/.test(name))
    return 'float32'
  const { fileType } = context
  if (fileType === 'exact') return stored
  const { format } = ggufFileTypes[fileType]
  if (format === 'float32' || format === 'float16' || format === 'bfloat16') return format
  return fitColumns(mixedFormat(name, shape.at(-1)!, { ...context, fileType }), shape.at(-1)!)
}

function mixedFormat(name: string, cols: number, context: MixContext & { fileType: GgufFileType }): WeightFormat {
  const { fileType, numLayers, numExperts, hasOutput, hasImportance } = context
  const { format } = ggufFileTypes[fileType]
  if (name === 'output.weight' || (name === 'token_embd.weight' && !hasOutput)) {
    if (format === 'q8_0' || cols % weightFormats[format].blockElements !== 0) return 'q8_0'
    return 'q6_k'
  }
  const [, layerText = '0', part = ''] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? []
  const layer = Number(layerText)
  const isMedium = fileType === 'Q4_K_M' || fileType === 'Q5_K_M'
  const isFirst = layer < Math.floor(numLayers / 8)
  if (part === 'attn_v') {
    if (numExperts === 8) return 'q8_0'
    const chosen =
      isMedium && usesMoreBits(layer, numLayers) ? 'q6_k' : fileType === 'Q4_K_S' && layer < 4 ? 'q5_k' : format
    return chosen === 'q4_k' && context.sharesManyHeads ? 'q5_k' : chosen
  }
  if (part === 'attn_k' && numExperts === 8) return 'q8_0'
  if (part.startsWith('ffn_down')) {
    if (isMedium && usesMoreBits(layer, numLayers)) return 'q6_k'
    if (fileType === 'Q4_K_S' && isFirst) return 'q5_k'
    if (isFirst && hasImportance && fileType === 'Q4_0') return 'q4_1'
    if (isFirst && hasImportance && fileType === 'Q5_0') return 'q5_1'
  }
  if (part === 'attn_output' && numExperts === 8 && format === 'q4_k') return 'q5_k'
  if (part === 'attn_qkv' && fileType === 'Q4_K_M') return 'q5_k'
  if (part === 'attn_qkv' && fileType === 'Q5_K_M') return 'q6_k'
  return format
}

/** The first and the last eighth, and every third layer between. */
function usesMoreBits(layer: number, numLayers: number): boolean {
  const eighth = Math.floor(numLayers / 8)
  return layer < eighth || layer >= Math.floor((7 * numLayers) / 8) || (layer - eighth) % 3 === 2
}

/** Formats whose blocks are whole in rows of so many columns: blocks of 32 instead of 256, or none. */
function fitColumns(format: WeightFormat, cols: number): WeightFormat {
  const fits = (candidate: WeightFormat): boolean => cols % weightFormats[candidate].blockElements === 0
  if (fits(format)) return format
  const smaller = format === 'q4_k' ? 'q5_0' : format === 'q5_k' ? 'q5_1' : format === 'q6_k' ? 'q8_0' : 'float16'
  return fits(smaller) ? smaller : 'float16'
}
