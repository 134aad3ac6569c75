import type { BlockField, BlockFormat } from '../../tensor/dtype.ts'
import { weightFormats } from '../../tensor/dtype.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import { tfDtype, typeAttr } from './tf-op.ts'

/** The fields of a format's blocks by name, each `[rows, numBlocks, length]`. */
export type StoredPlanes = ReadonlyMap<string, TfeTensor>

/** Takes stored rows apart on the device; together the planes take as many bytes as the rows did. */
export function splitPlanes(
  ops: OpScope,
  bytes: Uint8Array,
  { format, rows, cols }: { format: BlockFormat; rows: number; cols: number },
): StoredPlanes {
  const { blockBytes, blockElements, fields } = weightFormats[format]
  const numBlocks = cols / blockElements
  const raw = ops.bytes(bytes, [rows, numBlocks, blockBytes])
  const planes = fields.map(({ name, offset, bytes: length, dtype }): [string, TfeTensor] => {
    const plane = ops.slice(raw, [0, 0, offset], [rows, numBlocks, length])
    return [name, asDtype(ops, plane, dtype)]
  })
  return new Map(planes)
}

function asDtype(ops: OpScope, plane: TfeTensor, dtype: BlockField['dtype']): TfeTensor {
  if (dtype === 'uint8') return plane
  // Bitcast to a wider type takes the last dimension as the bytes of one value; these have one value each.
  const value = ops.run('Bitcast', [plane], [typeAttr('type', tfDtype[dtype])])
  return dtype === 'float16' ? ops.reshape(value, [...value.shape, 1]) : value
}
