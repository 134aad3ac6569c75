import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { scaleGrid } from './compressed-scales.ts'
import type { CompressedWeights } from './compressed-tensors-config.ts'
import { findFloat4, mxfp4GroupSize, nvfp4GroupSize, packedShape } from './float4-tensors.ts'
import { findFloat8 } from './float8-tensors.ts'
import { requireRaw, type GroupedTensors } from './grouped-tensors.ts'

interface CompressedModule {
  readonly module: string
  /** The tensor of codes. */
  readonly weight: RawTensor
  readonly weights: CompressedWeights
}

/** "float-quantized", "naive-quantized", "mxfp8-quantized": `weight` float8 [N, K]; `weight_scale` of what the config says. */
export function findFloatQuantized(source: WeightView, { module, weight, weights }: CompressedModule): GroupedTensors {
  checkFloat(weight, weights, 8)
  return findFloat8(source, { module, weight, gridOf: (_, size) => scaleGrid(weights, size) })
}

/**
 * "nvfp4-pack-quantized" and "mxfp4-pack-quantized": `weight_packed` uint8 [N, K / 2]; `weight_scale` float8_e4m3 [N, K / 16],
 * divided by `weight_global_scale`, or e8m0 [N, K / 32].
 */
export function findFloatPacked(source: WeightView, { module, weight, weights }: CompressedModule): GroupedTensors {
  checkFloat(weight, weights, 4)
  const [rows, cols] = packedShape(weight)
  const scaleName = `${module}.weight_scale`
  const isNvfp4 = source.raw(scaleName)?.dtype === 'float8_e4m3'
  const globalName = `${module}.weight_global_scale`
  return findFloat4(source, {
    module,
    weight,
    rows,
    cols,
    scaleName,
    groupSize: weights.groupSize ?? (isNvfp4 ? nvfp4GroupSize : mxfp4GroupSize),
    scales: isNvfp4
      ? { kind: 'nvfp4', globalScale: requireGlobal(source, globalName), isDivisor: true }
      : { kind: 'mxfp4' },
    unused: ['input_scale', 'input_global_scale', 'output_scale', 'weight_shape'],
  })
}

function requireGlobal(source: WeightView, name: string): RawTensor {
  return requireRaw(source, name, { dtypes: ['float32'], shape: source.raw(name)?.shape.length === 0 ? [] : [1] })
}

function checkFloat({ name, file, dtype }: RawTensor, { type, numBits }: CompressedWeights, bits: number): void {
  if (type === 'float' && numBits === bits) return
  throw new CheckpointError(file, `is ${dtype}, and its config says ${type}${numBits}, not float${bits}`, {
    tensor: name,
  })
}
