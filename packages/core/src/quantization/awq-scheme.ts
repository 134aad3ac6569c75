import { z } from 'zod'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { groupedFormat } from '../tensor/grouped-format.ts'
import { areAwqZerosMiddle, awqCodes, decodeAwqZeros } from './awq-layout.ts'
import {
  checkDtype,
  matrixShape,
  planeInMemory,
  requireRaw,
  scaleDtypeOf,
  scaleDtypes,
  type GroupedTensors,
} from './grouped-tensors.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'
import { columnsPlane, elementBytesOf, readWords } from './raw-matrix.ts'
import { describeGroups, groupSizeOf, groupSizeSchema, parseSection, resolveGroups } from './section.ts'

const schema = z.object({
  bits: z.int().nullish(),
  w_bit: z.int().nullish(),
  group_size: groupSizeSchema.nullish(),
  q_group_size: groupSizeSchema.nullish(),
  zero_point: z.boolean().nullish(),
  version: z.string().max(64).nullish(),
  format: z.string().max(64).nullish(),
})

export function createAwqScheme(section: QuantizationSection): QuantizationScheme {
  const json = parseSection(section, schema)
  const version = (json.version ?? json.format ?? 'gemm').toLowerCase()
  if (version !== 'gemm')
    throw new UnsupportedModelError(
      `${section.file}: AWQ weights in the version "${version}" can't be read; only gemm can. Use a checkpoint that was saved as gemm`,
    )
  const bits = json.bits ?? json.w_bit
  const groupSize = json.group_size ?? json.q_group_size
  if (bits == null || groupSize == null)
    throw new CheckpointError(
      section.file,
      `quantization_config's "${bits == null ? 'bits' : 'group_size'}" is missing`,
    )
  if (bits !== 4)
    throw new UnsupportedModelError(`${section.file}: AWQ weights of ${bits} bits can't be read; only 4 bits can`)
  const awq = { groupSize: groupSizeOf(groupSize), hasZeros: json.zero_point ?? true }
  return {
    name: 'awq',
    find(source, module) {
      const qweight = source.raw(`${module}.qweight`)
      return qweight === null ? null : findAwq(source, { module, qweight, ...awq })
    },
  }
}

interface AwqModule {
  readonly module: string
  readonly qweight: RawTensor
  readonly groupSize: number | 'channel'
  readonly hasZeros: boolean
}

function findAwq(source: WeightView, { module, qweight, groupSize: stated, hasZeros }: AwqModule): GroupedTensors {
  checkDtype(qweight, ['int32'])
  const [cols, wordCols] = matrixShape(qweight)
  const rows = 8 * wordCols
  const { groupSize, numGroups } = resolveGroups(stated, cols)
  const scales = requireRaw(source, `${module}.scales`, {
    dtypes: scaleDtypes,
    shape: [numGroups, rows],
    because: describeGroups(4, stated),
  })
  const scaleDtype = scaleDtypeOf(scales)
  const zerosName = `${module}.qzeros`
  const words =
    !hasZeros && source.raw(zerosName) === null
      ? null
      : readWords(requireRaw(source, zerosName, { dtypes: ['int32'], shape: [numGroups, wordCols] }))
  const zeros =
    words === null || areAwqZerosMiddle(words)
      ? null
      : planeInMemory(() => decodeAwqZeros(words, { rows, groups: numGroups }), numGroups)
  return {
    module,
    file: qweight.file,
    rows,
    cols,
    format: groupedFormat({ bits: 4, groupSize, scaleDtype, hasZeros: zeros !== null }),
    order: null,
    codeUnit: 8,
    codes: awqCodes({ tensor: qweight, cols: wordCols, elementBytes: 4 }),
    scales: columnsPlane({ tensor: scales, cols: rows, elementBytes: elementBytesOf(scaleDtype) }),
    zeros,
    names: [qweight.name, scales.name, zerosName],
    unused: [],
  }
}
