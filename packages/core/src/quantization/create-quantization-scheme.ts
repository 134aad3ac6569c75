import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import { createAwqScheme } from './awq-scheme.ts'
import { createBitsAndBytesScheme } from './bitsandbytes-scheme.ts'
import { createCompressedTensorsScheme } from './compressed-tensors-scheme.ts'
import { createFp8Scheme } from './fp8-scheme.ts'
import { createGgufScheme } from './gguf-scheme.ts'
import { createGptqScheme } from './gptq-scheme.ts'
import { createModelOptScheme } from './modelopt-scheme.ts'
import { createMxfp4Scheme } from './mxfp4-scheme.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'

type CreateScheme = (section: QuantizationSection) => QuantizationScheme

/** By `quant_method`: one line per file. */
const schemes: Readonly<Record<string, CreateScheme>> = {
  awq: createAwqScheme,
  bitsandbytes: createBitsAndBytesScheme,
  'compressed-tensors': createCompressedTensorsScheme,
  fbgemm_fp8: createFp8Scheme('fbgemm_fp8'),
  fp8: createFp8Scheme('fp8'),
  gguf: createGgufScheme,
  gptq: createGptqScheme,
  modelopt: createModelOptScheme,
  modelopt_fp4: createModelOptScheme,
  mxfp4: createMxfp4Scheme,
  mxfp8: createFp8Scheme('mxfp8'),
}

/** Those that safetensors can be read in; GGUF files need no configuration. */
export const quantizationMethods: readonly string[] = Object.keys(schemes).filter((name) => name !== 'gguf')

/**
 * @throws UnsupportedModelError naming a method, or a variant of it, that Octavo does not have
 * @throws CheckpointError for a section that is malformed
 */
export function createQuantizationScheme(section: QuantizationSection): QuantizationScheme {
  const name = methodOf(section)
  const create = Object.hasOwn(schemes, name) ? schemes[name] : undefined
  if (create !== undefined) return create(section)
  throw new UnsupportedModelError(
    `${section.file}: the weights are quantized with "${name}", which can't be read; those that can are ` +
      `${quantizationMethods.join(', ')}. Use a checkpoint in one of these, an unquantized one, or a GGUF file`,
  )
}

function methodOf({ file, method, json }: QuantizationSection): string {
  const stated = json['quant_method'] ?? method
  if (typeof stated === 'string' && stated !== '') return stated.slice(0, 64).toLowerCase()
  if (json['quant_algo'] !== undefined) return 'modelopt'
  if (json['config_groups'] !== undefined) return 'compressed-tensors'
  if (json['load_in_4bit'] !== undefined || json['load_in_8bit'] !== undefined) return 'bitsandbytes'
  throw new CheckpointError(
    file,
    'its quantization_config has no "quant_method", which would say how the weights are quantized',
  )
}
