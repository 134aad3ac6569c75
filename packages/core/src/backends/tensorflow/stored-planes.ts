import type { WeightFormat } from '../../tensor/dtype.ts'
import { weightFormats } from '../../tensor/dtype.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import { tfDtype, typeAttr } from './tf-op.ts'

/** Formats of GGUF's blocks, kept as their integer codes and scales. */
export type BlockFormat = Exclude<WeightFormat, 'float32' | 'float16' | 'bfloat16'>

/** A field of a format's block, kept as an array of its own: `[rows, numBlocks, length]`. */
interface Plane {
  readonly name: string
  readonly offset: number
  readonly bytes: number
  readonly dtype: 'float16' | 'uint8' | 'int8'
}

const d: Plane = { name: 'd', offset: 0, bytes: 2, dtype: 'float16' }
const m: Plane = { name: 'm', offset: 2, bytes: 2, dtype: 'float16' }

/** ggml's layouts (`ggml-common.h`), described at `dequantize.ts`. */
const planes: Readonly<Record<BlockFormat, readonly Plane[]>> = {
  q8_0: [d, { name: 'codes', offset: 2, bytes: 32, dtype: 'int8' }],
  q4_0: [d, { name: 'nibbles', offset: 2, bytes: 16, dtype: 'uint8' }],
  q4_1: [d, m, { name: 'nibbles', offset: 4, bytes: 16, dtype: 'uint8' }],
  q5_0: [
    d,
    { name: 'high', offset: 2, bytes: 4, dtype: 'uint8' },
    { name: 'nibbles', offset: 6, bytes: 16, dtype: 'uint8' },
  ],
  q5_1: [
    d,
    m,
    { name: 'high', offset: 4, bytes: 4, dtype: 'uint8' },
    { name: 'nibbles', offset: 8, bytes: 16, dtype: 'uint8' },
  ],
  q4_k: [
    d,
    m,
    { name: 'scales', offset: 4, bytes: 12, dtype: 'uint8' },
    { name: 'nibbles', offset: 16, bytes: 128, dtype: 'uint8' },
  ],
  q5_k: [
    d,
    m,
    { name: 'scales', offset: 4, bytes: 12, dtype: 'uint8' },
    { name: 'high', offset: 16, bytes: 32, dtype: 'uint8' },
    { name: 'nibbles', offset: 48, bytes: 128, dtype: 'uint8' },
  ],
  q6_k: [
    { name: 'nibbles', offset: 0, bytes: 128, dtype: 'uint8' },
    { name: 'high', offset: 128, bytes: 64, dtype: 'uint8' },
    { name: 'scales', offset: 192, bytes: 16, dtype: 'int8' },
    { name: 'd', offset: 208, bytes: 2, dtype: 'float16' },
  ],
}

/** The fields of a format's blocks by name, each `[rows, numBlocks, length]`. */
export type StoredPlanes = ReadonlyMap<string, TfeTensor>

/** Takes stored rows apart on the device; together the planes take as many bytes as the rows did. */
export function splitPlanes(
  ops: OpScope,
  bytes: Uint8Array,
  { format, rows, cols }: { format: BlockFormat; rows: number; cols: number },
): StoredPlanes {
  const { blockBytes, blockElements } = weightFormats[format]
  const numBlocks = cols / blockElements
  const raw = ops.bytes(bytes, [rows, numBlocks, blockBytes])
  const split = planes[format].map((plane): [string, TfeTensor] => {
    const field = ops.slice(raw, [0, 0, plane.offset], [rows, numBlocks, plane.bytes])
    return [plane.name, asDtype(ops, field, plane.dtype)]
  })
  return new Map(split)
}

function asDtype(ops: OpScope, field: TfeTensor, dtype: Plane['dtype']): TfeTensor {
  if (dtype === 'uint8') return field
  // Bitcast to a wider type takes the last dimension as the bytes of one value; these have one value each.
  const value = ops.run('Bitcast', [field], [typeAttr('type', tfDtype[dtype])])
  return dtype === 'float16' ? ops.reshape(value, [...value.shape, 1]) : value
}
