// Dot products of weight rows with activation rows, as register tiles.
//
// THE REDUCTION ORDER, the same for every tile shape, so that an output element has the same bits whether it was
// computed in a tile or alone (batch invariance):
//   lane l of one float32x4 accumulator adds w[k] * x[k] for k = l, l+4, l+8, ... in this order, each product rounded
//   before it is added (no fused multiply-add); the last, partial vector is filled up with zeros;
//   the result is (lane0 + lane2) + (lane1 + lane3).
// Unrolling below only repeats the step; it never adds accumulators.
import { sumLanes, sumLanes4, loadPartial } from './lanes'
import { loadRow, loadRowPartial } from './widen'

@inline
function madd(w: v128, x: v128, sum: v128): v128 {
  return f32x4.add(sum, f32x4.mul(w, x))
}

/** out[0] = w . x */
export function dot1x1<T>(out: usize, w: usize, x: usize, cols: i32): void {
  let sum = f32x4.splat(0)
  const end = x + (<usize>(cols & ~3) << 2)
  while (x < end) {
    sum = madd(loadRow<T>(w), v128.load(x), sum)
    w += 4 * sizeof<T>()
    x += 16
  }
  const rest = cols & 3
  if (rest) sum = madd(loadRowPartial<T>(w, rest), loadPartial(x, rest), sum)
  store<f32>(out, sumLanes(sum))
}

/** out[r] = w[r] . x for four weight rows `stride` bytes apart */
export function dot4x1<T>(out: usize, w: usize, stride: usize, x: usize, cols: i32): void {
  let w1 = w + stride
  let w2 = w1 + stride
  let w3 = w2 + stride
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  const unrolledEnd = x + (<usize>(cols & ~15) << 2)
  while (x < unrolledEnd) {
    let x0 = v128.load(x)
    s0 = madd(loadRow<T>(w), x0, s0)
    s1 = madd(loadRow<T>(w1), x0, s1)
    s2 = madd(loadRow<T>(w2), x0, s2)
    s3 = madd(loadRow<T>(w3), x0, s3)
    x0 = v128.load(x, 16)
    s0 = madd(loadRow<T>(w + 4 * sizeof<T>()), x0, s0)
    s1 = madd(loadRow<T>(w1 + 4 * sizeof<T>()), x0, s1)
    s2 = madd(loadRow<T>(w2 + 4 * sizeof<T>()), x0, s2)
    s3 = madd(loadRow<T>(w3 + 4 * sizeof<T>()), x0, s3)
    x0 = v128.load(x, 32)
    s0 = madd(loadRow<T>(w + 8 * sizeof<T>()), x0, s0)
    s1 = madd(loadRow<T>(w1 + 8 * sizeof<T>()), x0, s1)
    s2 = madd(loadRow<T>(w2 + 8 * sizeof<T>()), x0, s2)
    s3 = madd(loadRow<T>(w3 + 8 * sizeof<T>()), x0, s3)
    x0 = v128.load(x, 48)
    s0 = madd(loadRow<T>(w + 12 * sizeof<T>()), x0, s0)
    s1 = madd(loadRow<T>(w1 + 12 * sizeof<T>()), x0, s1)
    s2 = madd(loadRow<T>(w2 + 12 * sizeof<T>()), x0, s2)
    s3 = madd(loadRow<T>(w3 + 12 * sizeof<T>()), x0, s3)
    w += 16 * sizeof<T>()
    w1 += 16 * sizeof<T>()
    w2 += 16 * sizeof<T>()
    w3 += 16 * sizeof<T>()
    x += 64
  }
  const end = x + (<usize>(cols & 12) << 2)
  while (x < end) {
    const x0 = v128.load(x)
    s0 = madd(loadRow<T>(w), x0, s0)
    s1 = madd(loadRow<T>(w1), x0, s1)
    s2 = madd(loadRow<T>(w2), x0, s2)
    s3 = madd(loadRow<T>(w3), x0, s3)
    w += 4 * sizeof<T>()
    w1 += 4 * sizeof<T>()
    w2 += 4 * sizeof<T>()
    w3 += 4 * sizeof<T>()
    x += 16
  }
  const rest = cols & 3
  if (rest) {
    const x0 = loadPartial(x, rest)
    s0 = madd(loadRowPartial<T>(w, rest), x0, s0)
    s1 = madd(loadRowPartial<T>(w1, rest), x0, s1)
    s2 = madd(loadRowPartial<T>(w2, rest), x0, s2)
    s3 = madd(loadRowPartial<T>(w3, rest), x0, s3)
  }
  v128.store(out, sumLanes4(s0, s1, s2, s3))
}

/**
 * outA[r] = w[r] . xA, outB[r] = w[r] . xB for four float32 weight rows: eight sums, four weights and one activation
 * vector fit the sixteen vector registers of x86-64, and hide the latency of the addition.
 */
export function dot4x2(outA: usize, outB: usize, w: usize, stride: usize, xA: usize, xB: usize, cols: i32): void {
  let w1 = w + stride
  let w2 = w1 + stride
  let w3 = w2 + stride
  let a0 = f32x4.splat(0)
  let a1 = f32x4.splat(0)
  let a2 = f32x4.splat(0)
  let a3 = f32x4.splat(0)
  let b0 = f32x4.splat(0)
  let b1 = f32x4.splat(0)
  let b2 = f32x4.splat(0)
  let b3 = f32x4.splat(0)
  const unrolledEnd = xA + (<usize>(cols & ~7) << 2)
  while (xA < unrolledEnd) {
    let x0 = v128.load(xA)
    let x1 = v128.load(xB)
    let r = v128.load(w)
    a0 = madd(r, x0, a0)
    b0 = madd(r, x1, b0)
    r = v128.load(w1)
    a1 = madd(r, x0, a1)
    b1 = madd(r, x1, b1)
    r = v128.load(w2)
    a2 = madd(r, x0, a2)
    b2 = madd(r, x1, b2)
    r = v128.load(w3)
    a3 = madd(r, x0, a3)
    b3 = madd(r, x1, b3)
    x0 = v128.load(xA, 16)
    x1 = v128.load(xB, 16)
    r = v128.load(w, 16)
    a0 = madd(r, x0, a0)
    b0 = madd(r, x1, b0)
    r = v128.load(w1, 16)
    a1 = madd(r, x0, a1)
    b1 = madd(r, x1, b1)
    r = v128.load(w2, 16)
    a2 = madd(r, x0, a2)
    b2 = madd(r, x1, b2)
    r = v128.load(w3, 16)
    a3 = madd(r, x0, a3)
    b3 = madd(r, x1, b3)
    w += 32
    w1 += 32
    w2 += 32
    w3 += 32
    xA += 32
    xB += 32
  }
  if (cols & 4) {
    const x0 = v128.load(xA)
    const x1 = v128.load(xB)
    a0 = madd(v128.load(w), x0, a0)
    b0 = madd(v128.load(w), x1, b0)
    a1 = madd(v128.load(w1), x0, a1)
    b1 = madd(v128.load(w1), x1, b1)
    a2 = madd(v128.load(w2), x0, a2)
    b2 = madd(v128.load(w2), x1, b2)
    a3 = madd(v128.load(w3), x0, a3)
    b3 = madd(v128.load(w3), x1, b3)
    w += 16
    w1 += 16
    w2 += 16
    w3 += 16
    xA += 16
    xB += 16
  }
  const rest = cols & 3
  if (rest) {
    const x0 = loadPartial(xA, rest)
    const x1 = loadPartial(xB, rest)
    const r0 = loadPartial(w, rest)
    const r1 = loadPartial(w1, rest)
    const r2 = loadPartial(w2, rest)
    const r3 = loadPartial(w3, rest)
    a0 = madd(r0, x0, a0)
    b0 = madd(r0, x1, b0)
    a1 = madd(r1, x0, a1)
    b1 = madd(r1, x1, b1)
    a2 = madd(r2, x0, a2)
    b2 = madd(r2, x1, b2)
    a3 = madd(r3, x0, a3)
    b3 = madd(r3, x1, b3)
  }
  v128.store(outA, sumLanes4(a0, a1, a2, a3))
  v128.store(outB, sumLanes4(b0, b1, b2, b3))
}
