import { openCheckpoint } from '@octavo/core/loading'
import type { DecoderDesign, LinearRole } from '@octavo/core/model'
import { createQuantizationScheme } from '@octavo/core/quantization'
import type { GroupedTensors, QuantizationScheme } from '@octavo/core/quantization'
import { openDecoder } from '../model/open-decoder.ts'
import type { OpenedDecoder } from '../model/open-decoder.ts'

/** A checkpoint of any layout that Octavo loads, its weights floats or quantized. */
export interface OpenedSource extends OpenedDecoder {
  /** `null`: no module is quantized, but for GGUF's blocks that the kernels have formats for. */
  readonly scheme: QuantizationScheme | null
}

/** The caller closes `source`. */
export async function openSource(path: string): Promise<OpenedSource> {
  const checkpoint = await openCheckpoint(path)
  const scheme = checkpoint.quantization && createQuantizationScheme(checkpoint.quantization)
  return { ...(await openDecoder(checkpoint)), scheme }
}

/** The modules that have a weight, in the order of their first tensors; what a scheme finds of each. */
export function listModules({ view, scheme, design }: OpenedSource): Map<string, GroupedTensors | null> {
  const modules = new Map<string, GroupedTensors | null>()
  for (const name of view.names()) {
    const module = name.slice(0, Math.max(0, name.lastIndexOf('.')))
    if (module === '' || modules.has(module)) continue
    modules.set(module, scheme?.find(view, module, roleOf(module, design)) ?? null)
  }
  return modules
}

export function roleOf(module: string, { embedding, lmHead }: DecoderDesign): LinearRole {
  if (module === embedding) return 'embedding'
  if (module === lmHead) return 'head'
  if (/\.experts\.\d+\./.test(module)) return 'expert'
  return /\.(router|block_sparse_moe\.gate|mlp\.gate)$/.test(module) ? 'router' : 'linear'
}

/** Whether a tensor of a quantized module is more than a part of its weight. */
export function isBesideWeight(name: string): boolean {
  return /\.(bias|(q|k|v|kv|prob_output)_scale)$/.test(name)
}
