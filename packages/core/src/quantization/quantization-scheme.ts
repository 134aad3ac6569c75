import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { LinearRole } from '../layers/linear-method.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { createGptqScheme } from './gptq-scheme.ts'
import type { GroupedTensors } from './grouped-tensors.ts'

/** How the weights of a checkpoint are quantized: what its `quant_method` stands for. */
export interface QuantizationScheme {
  /** As `quant_method` spells it. */
  readonly name: string
  /**
   * A module's weight, its tensors checked; `null` where the checkpoint has it as `<module>.weight`, unquantized. What a file has
   * decides, and the configuration says how to read it: lists of modules that are left out name them in too many ways.
   *
   * @throws CheckpointError naming the tensor that is missing or wrong, or the module that no part of the configuration is for
   * @throws UnsupportedModelError for a layout that Octavo does not have
   */
  find(source: WeightView, module: string, role: LinearRole): GroupedTensors | null
}

type CreateScheme = (section: QuantizationSection) => QuantizationScheme

/** By `quant_method`: one line per file. */
const schemes: Readonly<Record<string, CreateScheme>> = {
  gptq: createGptqScheme,
}

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
      `${Object.keys(schemes).join(', ')}. Use a checkpoint in one of these, an unquantized one, or a GGUF file`,
  )
}

function methodOf({ file, method, json }: QuantizationSection): string {
  const stated = json['quant_method'] ?? method
  if (typeof stated === 'string' && stated !== '') return stated.slice(0, 64).toLowerCase()
  throw new CheckpointError(
    file,
    'its quantization_config has no "quant_method" that says how the weights are quantized',
  )
}
