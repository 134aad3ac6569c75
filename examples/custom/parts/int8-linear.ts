// Linear layers rounded to int8 while they load, one scale for each row; embedding and head stay as they are.
import {
  type CreateLinearMethods,
  createPackedEmbedding,
  createPackedLinear,
  type GroupedFormat,
  type LinearMethod,
  type MatrixSelection,
  type MethodLoader,
  type PackedWeight,
  planesOf,
} from '@octavo/core/model'

const format: GroupedFormat = {
  kind: 'grouped',
  bits: 8,
  codebook: 'integers',
  groupSize: 'channel',
  scaleDtype: 'float32',
  hasZeros: false,
  hasOrder: false,
}

function loadRounded(loader: MethodLoader, selection: MatrixSelection): PackedWeight {
  const values = loader.hostMatrix(selection)
  const { cols: range, expectedShape } = selection
  const cols = range === undefined ? expectedShape[1] : range.end - range.start
  const rows = values.length / cols
  const spec = { format, rows, cols }
  const planes = planesOf(spec)
  return loader.pack(spec, (bytes) => {
    const scales = new DataView(bytes.buffer, bytes.byteOffset)
    for (let row = 0; row < rows; row++) {
      const weights = values.subarray(row * cols, (row + 1) * cols)
      const scale = weights.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127
      scales.setFloat32(planes.scales.offset + row * planes.scales.stride, scale, true)
      const codes = bytes.subarray(planes.codes.offset + row * planes.codes.stride)
      weights.forEach((value, col) => (codes[col] = 128 + Math.round(scale === 0 ? 0 : value / scale)))
    }
  })
}

const int8: LinearMethod = {
  canMerge: () => true,
  load: (loader, selection) => createPackedLinear(loadRounded(loader, selection)),
  loadEmbedding: (loader, selection) => createPackedEmbedding(loadRounded(loader, selection)),
}

export const createLinearMethods: CreateLinearMethods =
  ({ linearMethods }) =>
  (module, role) =>
    role === 'linear' ? int8 : linearMethods(module, role)
