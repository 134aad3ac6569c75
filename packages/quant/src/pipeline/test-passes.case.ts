import { groupedFormat, planesOf } from '@octavo/core/quantization'
import type { GroupedFormat, GroupedWeight } from '@octavo/core/quantization'
import { definePass } from '../decoder-layer.ts'
import type { LayerPass } from '../decoder-layer.ts'

/** Integers around zero or with zeros, to the nearest, scales in float16's range as float32 rounded to powers of two. */
export function quantizeSimply(
  values: Float32Array,
  {
    rows,
    cols,
    bits,
    groupSize,
    hasZeros,
  }: { rows: number; cols: number } & Pick<GroupedFormat, 'bits' | 'groupSize' | 'hasZeros'>,
): GroupedWeight {
  const format = groupedFormat({ bits, groupSize, scaleDtype: 'float16', hasZeros })
  const layout = planesOf({ format, rows, cols })
  const planes = new Uint8Array(layout.sizeInBytes)
  const view = new DataView(planes.buffer)
  const width = groupSize === 'channel' ? cols : groupSize
  const numGroups = Math.ceil(cols / width)
  const middle = 2 ** (bits - 1)
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < numGroups; group++) {
      const start = row * cols + group * width
      const end = Math.min(start + width, (row + 1) * cols)
      const largest = values.subarray(start, end).reduce((max, value) => Math.max(max, Math.abs(value)), 0)
      const exponent = Math.ceil(Math.log2(Math.max(largest, 2 ** -10) / (middle - 1)))
      view.setUint16(layout.scales.offset + row * layout.scales.stride + group * 2, (exponent + 15) << 10, true)
      if (layout.zeros !== null) planes[layout.zeros.offset + row * layout.zeros.stride + group] = middle - 1
      for (let i = start; i < end; i++) {
        const code = Math.round(values[i]! / 2 ** exponent) + (hasZeros ? middle - 1 : middle)
        const bit = (i - row * cols) * bits
        const at = layout.codes.offset + row * layout.codes.stride + (bit >>> 3)
        const shifted = code << (bit & 7)
        planes[at]! |= shifted
        if (shifted > 255) planes[at + 1]! |= shifted >>> 8
      }
    }
  }
  return { format, rows, cols, planes }
}

export interface SimplePassOptions {
  readonly bits: number
  readonly groupSize: number | 'channel'
  readonly hasZeros?: boolean
  /** Weights are first made larger by a trifle of what they are given, so that results depend on the layers before. */
  readonly isObserved?: boolean
  readonly skips?: RegExp
}

/** For tests of what is around passes. */
export function simplePass(options: SimplePassOptions): LayerPass {
  const { bits, groupSize, hasZeros = false, isObserved = false, skips } = options
  const identity = { ...options, skips: skips?.source ?? null }
  return definePass({ name: 'simple', options: identity, needsCalibration: isObserved }, async (layer) => {
    const given = new Map<string, number>()
    if (isObserved && layer.hasCalibration)
      await layer.observe(({ module, input }) => {
        const sum = input.dataSync<'float32'>().reduce((total, value) => total + Math.abs(value), 0)
        given.set(module.name, (given.get(module.name) ?? 0) + sum / input.size)
      })
    for (const module of layer.modules) {
      if (module.role === 'router' || skips?.test(module.name) === true) continue
      const factor = 1 + 0.01 * Math.tanh(given.get(module.name) ?? 0)
      const values = module.weight().map((value) => value * factor)
      module.setQuantized(quantizeSimply(values, { rows: module.rows, cols: module.cols, bits, groupSize, hasZeros }))
    }
  })
}
