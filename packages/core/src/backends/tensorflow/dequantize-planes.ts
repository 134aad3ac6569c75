import type { BlockFormat } from '../../tensor/dtype.ts'
import { assert } from '../../util/assert.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import type { StoredPlanes } from './stored-planes.ts'
import { tfDtype } from './tf-op.ts'

/**
 * Planes of `n` rows → their float32 values `[n, numBlocks * blockElements]`, with raw ops on the device.
 *
 * The same bits as `dequantizeRow`: a scale has at most 19 significant bits and a code 5 besides its sign, or it is a power
 * of two, so their product is exact in float32, and what is added to it rounds once.
 */
export function dequantizePlanes(ops: OpScope, format: BlockFormat, planes: StoredPlanes): TfeTensor {
  const values = blockValues[format](new PlaneOps(ops, planes))
  const [rows] = values.shape
  return ops.reshape(values, [rows ?? 0, -1])
}

const blockValues: Readonly<Record<BlockFormat, (p: PlaneOps) => TfeTensor>> = {
  q8_0: (p) => p.mul(p.float('codes'), p.float('d')),
  q4_0: (p) => p.mul(p.addScalar(p.floatOf(nibbles(p)), -8), p.float('d')),
  q4_1: (p) => p.add(p.mul(p.floatOf(nibbles(p)), p.float('d')), p.float('m')),
  q5_0: (p) => p.mul(p.addScalar(fiveBits(p), -16), p.float('d')),
  q5_1: (p) => p.add(p.mul(fiveBits(p), p.float('d')), p.float('m')),
  q4_k: (p) => scaleSubBlocks(p, p.floatOf(kNibbles(p))),
  q5_k: (p) => scaleSubBlocks(p, p.withHighBits(kNibbles(p), kFifthBits(p))),
  q6_k: q6kValues,
}

/** `[n, numBlocks, 32]`: the low nibbles of 16 bytes, then the high ones. */
function nibbles(p: PlaneOps): TfeTensor {
  const bytes = p.plane('nibbles')
  return p.ops.concat([p.and(bytes, 15), p.shiftRight(bytes, 4)], 2)
}

/** `[n, numBlocks, 32]`: bit `i` of the 4 bytes is the fifth bit of element `i`. */
function fiveBits(p: PlaneOps): TfeTensor {
  const [n, numBlocks] = p.rowsAndBlocks('high')
  const spread = p.bits(p.ops.reshape(p.plane('high'), [n, numBlocks, 4, 1]), [0, 1, 2, 3, 4, 5, 6, 7], 1)
  return p.withHighBits(nibbles(p), p.ops.reshape(spread, [n, numBlocks, 32]))
}

/** `[n, numBlocks, 8, 32]`: each 32 bytes hold two sub-blocks, in their low and their high nibbles. */
function kNibbles(p: PlaneOps): TfeTensor {
  const [n, numBlocks] = p.rowsAndBlocks('nibbles')
  const bytes = p.ops.reshape(p.plane('nibbles'), [n, numBlocks, 4, 1, 32])
  const pairs = p.ops.concat([p.and(bytes, 15), p.shiftRight(bytes, 4)], 3)
  return p.ops.reshape(pairs, [n, numBlocks, 8, 32])
}

/** `[n, numBlocks, 8, 32]`: bit `j` of byte `i` belongs to element `i` of sub-block `j`. */
function kFifthBits(p: PlaneOps): TfeTensor {
  const [n, numBlocks] = p.rowsAndBlocks('high')
  const bytes = p.ops.reshape(p.plane('high'), [n, numBlocks, 1, 32])
  return p.bits(
    bytes,
    [0, 1, 2, 3, 4, 5, 6, 7].map((shift) => [shift]),
    1,
  )
}

/** Codes `[n, numBlocks, 8, 32]` times their sub-block's scale, less its minimum. */
function scaleSubBlocks(p: PlaneOps, codes: TfeTensor): TfeTensor {
  const [n, numBlocks] = p.rowsAndBlocks('scales')
  const part = (from: number): TfeTensor => p.ops.slice(p.plane('scales'), [0, 0, from], [n, numBlocks, 4])
  const [first, second, third] = [part(0), part(4), part(8)]
  // Six bits each: sub-blocks 0 to 3 in the low bits of eight bytes, the others in nibbles with two bits atop those bytes.
  const low = (bytes: TfeTensor): TfeTensor => p.and(bytes, 63)
  const high = (nibble: TfeTensor, top: TfeTensor): TfeTensor => p.or(nibble, p.shiftLeft(p.shiftRight(top, 6), 4))
  const scales = p.ops.concat([low(first), high(p.and(third, 15), first)], 2)
  const minima = p.ops.concat([low(second), high(p.shiftRight(third, 4), second)], 2)
  const perSubBlock = (bytes: TfeTensor, factor: TfeTensor): TfeTensor =>
    p.ops.reshape(p.mul(p.floatOf(bytes), factor), [n, numBlocks, 8, 1])
  return p.sub(p.mul(codes, perSubBlock(scales, p.float('d'))), perSubBlock(minima, p.float('m')))
}

/** `[n, numBlocks, 16, 16]`. Each half of 128 has 64 bytes of nibbles, low ones first, and 32 bytes of four bit pairs. */
function q6kValues(p: PlaneOps): TfeTensor {
  const [n, numBlocks] = p.rowsAndBlocks('nibbles')
  const bytes = p.ops.reshape(p.plane('nibbles'), [n, numBlocks, 2, 64])
  const low = p.ops.concat([p.and(bytes, 15), p.shiftRight(bytes, 4)], 3)
  const pairs = p.ops.reshape(p.plane('high'), [n, numBlocks, 2, 1, 32])
  const high = p.ops.reshape(p.bits(pairs, [[0], [2], [4], [6]], 3), [n, numBlocks, 2, 128])
  const codes = p.ops.reshape(p.addScalar(p.withHighBits(low, high), -32), [n, numBlocks, 16, 16])
  const scales = p.mul(p.float('scales'), p.float('d'))
  return p.mul(codes, p.ops.reshape(scales, [n, numBlocks, 16, 1]))
}

/** The few ops that all formats are made of; constants are uint8 like the codes. */
class PlaneOps {
  readonly ops: OpScope
  readonly #planes: StoredPlanes

  constructor(ops: OpScope, planes: StoredPlanes) {
    this.ops = ops
    this.#planes = planes
  }

  plane(name: string): TfeTensor {
    const plane = this.#planes.get(name)
    assert(plane !== undefined, `a packed weight has no ${name}`)
    return plane
  }

  rowsAndBlocks(name: string): [number, number] {
    const [n = 0, numBlocks = 0] = this.plane(name).shape
    return [n, numBlocks]
  }

  float(name: string): TfeTensor {
    return this.floatOf(this.plane(name))
  }

  floatOf(x: TfeTensor): TfeTensor {
    return this.ops.cast(x, tfDtype.float32)
  }

  /** Low four bits, and those above them, as float32. */
  withHighBits(low: TfeTensor, high: TfeTensor): TfeTensor {
    return this.floatOf(this.or(low, this.shiftLeft(high, 4)))
  }

  /** `(x >> shifts) & mask`, the shifts broadcast against the last dimensions of `x`. */
  bits(x: TfeTensor, shifts: readonly number[] | readonly (readonly number[])[], mask: number): TfeTensor {
    const flat = Uint8Array.from(shifts.flat())
    const isColumn = Array.isArray(shifts[0])
    const by = this.ops.bytes(flat, isColumn ? [flat.length, 1] : [flat.length])
    return this.and(this.ops.run('RightShift', [x, by]), mask)
  }

  and(x: TfeTensor, mask: number): TfeTensor {
    return this.ops.run('BitwiseAnd', [x, this.#byte(mask)])
  }

  or(a: TfeTensor, b: TfeTensor): TfeTensor {
    return this.ops.run('BitwiseOr', [a, b])
  }

  shiftRight(x: TfeTensor, by: number): TfeTensor {
    return this.ops.run('RightShift', [x, this.#byte(by)])
  }

  shiftLeft(x: TfeTensor, by: number): TfeTensor {
    return this.ops.run('LeftShift', [x, this.#byte(by)])
  }

  mul(a: TfeTensor, b: TfeTensor): TfeTensor {
    return this.ops.run('Mul', [a, b])
  }

  add(a: TfeTensor, b: TfeTensor): TfeTensor {
    return this.ops.run('AddV2', [a, b])
  }

  sub(a: TfeTensor, b: TfeTensor): TfeTensor {
    return this.ops.run('Sub', [a, b])
  }

  addScalar(x: TfeTensor, value: number): TfeTensor {
    return this.add(x, this.ops.device.scalar(value))
  }

  #byte(value: number): TfeTensor {
    return this.ops.device.scalar(value, tfDtype.uint8)
  }
}
