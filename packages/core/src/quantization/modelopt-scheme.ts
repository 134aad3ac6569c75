import { z } from 'zod'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { isFloat8 } from './float8-codes.ts'
import { findFloat8, float8Grid } from './float8-tensors.ts'
import { findFloat4, mxfp4GroupSize, nvfp4GroupSize, packedShape } from './float4-tensors.ts'
import { requireRaw, scaleDtypes, type GroupedTensors } from './grouped-tensors.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'
import { parseSection } from './section.ts'

const algorithm = { quant_algo: z.string().max(64).nullish() }

/** Flat in config.json, one level deeper in hf_quant_config.json. */
const schema = z.object({ ...algorithm, quantization: z.object(algorithm).nullish() })

/** NVIDIA Model Optimizer's FP8, NVFP4 and their MX relatives, of which a file may have several; its tensors say which. */
export function createModelOptScheme(section: QuantizationSection): QuantizationScheme {
  const json = parseSection(section, schema)
  const stated = json.quant_algo ?? json.quantization?.quant_algo ?? 'unnamed'
  const gridOf = float8Grid(null)
  return {
    name: 'modelopt',
    find(source, module) {
      const weight = source.raw(`${module}.weight`)
      if (weight === null || scaleDtypes.some((dtype) => dtype === weight.dtype)) return null
      refuseScaledInputs(source, module)
      if (isFloat8(weight.dtype)) return findFloat8(source, { module, weight, gridOf })
      if (weight.dtype === 'uint8') return findPacked(source, { module, weight, stated })
      throw new UnsupportedModelError(
        `${weight.file}: ModelOpt's weights in ${weight.dtype} ("${stated}", ${weight.name}) can't be read; FP8, NVFP4, MXFP8 and MXFP4 can`,
      )
    },
  }
}

/** AWQ's: what inputs are multiplied with before the product. */
function refuseScaledInputs(source: WeightView, module: string): void {
  const tensor = source.raw(`${module}.pre_quant_scale`)
  if (tensor !== null)
    throw new UnsupportedModelError(
      `${tensor.file}: ModelOpt's checkpoints whose inputs are scaled as the model runs ("${tensor.name}") can't be read; export one without AWQ or SmoothQuant`,
    )
}

interface PackedModule {
  readonly module: string
  readonly weight: RawTensor
  readonly stated: string
}

function findPacked(source: WeightView, { module, weight, stated }: PackedModule): GroupedTensors {
  const [rows, cols] = packedShape(weight)
  const scaleName = `${module}.weight_scale`
  const found = { module, weight, rows, cols, scaleName, unused: ['input_scale', 'output_scale'] }
  const scales = source.raw(scaleName)
  if (scales === null)
    throw new CheckpointError(weight.file, `is packed and has no scale; looked for ${scaleName}`, {
      tensor: weight.name,
    })
  if (scales.dtype === 'uint8' || scales.dtype === 'float8_e8m0')
    return findFloat4(source, { ...found, scales: { kind: 'mxfp4' }, groupSize: mxfp4GroupSize })
  if (!isFloat8(scales.dtype))
    throw new UnsupportedModelError(
      `${weight.file}: ModelOpt's packed integers ("${stated}", ${weight.name}) can't be read; FP8, NVFP4, MXFP8 and MXFP4 can`,
    )
  const globalName = `${module}.weight_scale_2`
  const shape = source.raw(globalName)?.shape.length === 1 ? [1] : []
  const globalScale = requireRaw(source, globalName, { dtypes: ['float32'], shape })
  return findFloat4(source, {
    ...found,
    scales: { kind: 'nvfp4', globalScale, isDivisor: false },
    groupSize: nvfp4GroupSize,
  })
}
