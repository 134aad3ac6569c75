import { z } from 'zod'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { groupedFormat } from '../tensor/grouped-format.ts'
import { ceilDiv } from '../util/math.ts'
import { areGptqZerosMiddle, decodeGptqZeros, gptqBits, type GptqVersion } from './gptq-layout.ts'
import {
  checkDtype,
  matrixShape,
  planeInMemory,
  requireRaw,
  scaleDtypeOf,
  scaleDtypes,
  type GroupedTensors,
  type PlaneReader,
} from './grouped-tensors.ts'
import { createModulePattern, createPatternBudget, refusePattern } from './module-pattern.ts'
import { findOrder } from './order.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'
import { codesInWords, columnsPlane, elementBytesOf, readWords } from './raw-matrix.ts'
import { describeGroups, groupSizeOf, groupSizeSchema, parseSection, resolveGroups } from './section.ts'

const moduleShape = {
  bits: z.int(),
  group_size: groupSizeSchema,
  sym: z.boolean().nullish(),
}

const schema = z.object({
  ...moduleShape,
  checkpoint_format: z.string().max(64).nullish(),
  format: z.string().max(64).nullish(),
  pack_dtype: z.string().max(64).nullish(),
  meta: z.looseObject({ quantizer: z.unknown() }).nullish(),
  // GPTQModel: what some modules have otherwise, by patterns with "+:" before them, or nothing; "-:" leaves modules out.
  dynamic: z.record(z.string(), z.object(moduleShape).partial()).nullish(),
})

type GptqJson = z.output<typeof schema>

interface GptqConfig {
  readonly bits: number
  readonly groupSize: number | 'channel'
  /** Whether zeros are all in the middle; `null` where nothing says so. */
  readonly isSymmetric: boolean | null
}

export function createGptqScheme(section: QuantizationSection): QuantizationScheme {
  const json = parseSection(section, schema)
  const version = versionOf(section, json)
  const isGptqModel = JSON.stringify(json.meta?.quantizer ?? '').includes('gptqmodel')
  const configOf = createConfigOf(section, json)
  return {
    name: 'gptq',
    find(source, module) {
      const qweight = source.raw(`${module}.qweight`)
      if (qweight === null) return null
      const config = configOf([module, source.storedModule(module)])
      return findGptq(source, { module, qweight, config, version, isGptqModel })
    },
  }
}

/** By the names of a module. */
function createConfigOf({ file }: QuantizationSection, json: GptqJson): (names: readonly string[]) => GptqConfig {
  const toConfig = ({ bits, group_size: groupSize, sym }: Pick<GptqJson, keyof typeof moduleShape>): GptqConfig => {
    if (!gptqBits.some((known) => known === bits))
      throw new UnsupportedModelError(
        `${file}: GPTQ weights of ${bits} bits can't be read; only those of ${gptqBits.join(', ')} can`,
      )
    return { bits, groupSize: groupSizeOf(groupSize), isSymmetric: sym ?? null }
  }
  const base = toConfig(json)
  const options = { budget: createPatternBudget(), refuse: refusePattern(file) }
  const overrides = Object.entries(json.dynamic ?? {})
    .filter(([key]) => !key.startsWith('-:'))
    .map(([key, { bits, group_size: groupSize, sym }]) => ({
      isMeant: createModulePattern(key.replace(/^\+:/, ''), options),
      config: toConfig({
        bits: bits ?? json.bits,
        group_size: groupSize ?? json.group_size,
        sym: sym === undefined ? json.sym : sym,
      }),
    }))
  return (names) => overrides.find(({ isMeant }) => names.some(isMeant))?.config ?? base
}

function versionOf({ file }: QuantizationSection, json: GptqJson): GptqVersion {
  const format = json.checkpoint_format ?? json.format ?? 'gptq'
  if ((json.pack_dtype ?? 'int32') !== 'int32')
    throw new UnsupportedModelError(`${file}: GPTQ weights packed in ${json.pack_dtype} can't be read; only int32 can`)
  if (format === 'gptq' || format === 'gptq_v2') return format
  throw new UnsupportedModelError(
    `${file}: GPTQ weights in the format "${format}" can't be read; only gptq and gptq_v2 can. Save the checkpoint as one of these`,
  )
}

interface GptqModule {
  readonly module: string
  readonly qweight: RawTensor
  readonly config: GptqConfig
  readonly version: GptqVersion
  readonly isGptqModel: boolean
}

function findGptq(source: WeightView, gptq: GptqModule): GroupedTensors {
  const { module, qweight, config } = gptq
  const { bits } = config
  checkDtype(qweight, ['int32'])
  const [numWords, rows] = matrixShape(qweight)
  const cols = (numWords * 32) / bits
  if (!Number.isInteger(cols))
    throw new CheckpointError(qweight.file, `${numWords} words do not hold codes of ${bits} bits`, {
      tensor: qweight.name,
    })
  const { groupSize, numGroups } = resolveGroups(config.groupSize, cols)
  const scales = requireRaw(source, `${module}.scales`, {
    dtypes: scaleDtypes,
    shape: [numGroups, rows],
    because: describeGroups(bits, config.groupSize),
  })
  const scaleDtype = scaleDtypeOf(scales)
  const order = findOrder(source, `${module}.g_idx`, { cols, groupSize, numGroups })
  const zeros = readZeros(source, gptq, { rows, numGroups })
  const elementBytes = elementBytesOf(scaleDtype)
  return {
    module,
    file: qweight.file,
    rows,
    cols,
    format: groupedFormat({ bits, groupSize, scaleDtype, hasZeros: zeros !== null, hasOrder: order !== null }),
    order,
    codeUnit: bits === 3 ? 32 : 32 / bits,
    codes: codesInWords(columnsPlane({ tensor: qweight, cols: rows, elementBytes: 4 }), bits),
    scales: columnsPlane({ tensor: scales, cols: rows, elementBytes }),
    zeros,
    names: [qweight.name, scales.name, `${module}.qzeros`],
    unused: [],
  }
}

/** `null` where all are in the middle. */
function readZeros(
  source: WeightView,
  { module, config, version, isGptqModel }: GptqModule,
  { rows, numGroups }: { readonly rows: number; readonly numGroups: number },
): PlaneReader | null {
  const { bits, isSymmetric } = config
  const name = `${module}.qzeros`
  if (isSymmetric === true && source.raw(name) === null) return null
  const tensor = requireRaw(source, name, { dtypes: ['int32'], shape: [numGroups, ceilDiv(rows * bits, 32)] })
  const words = readWords(tensor)
  const zeros = { bits, rows, groups: numGroups, version, isGptqModel }
  if (areGptqZerosMiddle(words, zeros)) return null
  if (isSymmetric !== true) return planeInMemory(() => decodeGptqZeros(words, zeros), numGroups)
  // Symmetric files are written with either version's zeros under either's name, and all readers take the middle.
  const others = (['gptq', 'gptq_v2'] as const).flatMap((other) =>
    [true, false].map((isOfGptqModel) => ({ ...zeros, version: other, isGptqModel: isOfGptqModel })),
  )
  if (others.some((other) => areGptqZerosMiddle(words, other))) return null
  throw new CheckpointError(
    tensor.file,
    `holds zeros other than ${2 ** (bits - 1)} though its quantization is said to be symmetric ("sym": true)`,
    { tensor: name },
  )
}
