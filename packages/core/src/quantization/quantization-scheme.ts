import type { LinearRole } from '../layers/linear-method.ts'
import type { WeightView } from '../loading/weight-view.ts'
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
