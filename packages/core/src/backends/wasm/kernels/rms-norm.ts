import { loadPartial, storePartial, sumLanes } from './lanes'

/** Sum of squares of one row: lane l adds k = l, l + 4, ... in order, then the one horizontal order. */
function sumOfSquares(x: usize, features: i32): f32 {
  let sum = f32x4.splat(0)
  const end = x + (<usize>(features & ~3) << 2)
  while (x < end) {
    const lanes = v128.load(x)
    sum = f32x4.add(sum, f32x4.mul(lanes, lanes))
    x += 16
  }
  const rest = features & 3
  if (rest) {
    const lanes = loadPartial(x, rest)
    sum = f32x4.add(sum, f32x4.mul(lanes, lanes))
  }
  return sumLanes(sum)
}

function scaleRow(out: usize, x: usize, weight: usize, features: i32, scale: f32): void {
  const scales = f32x4.splat(scale)
  const end = x + (<usize>(features & ~3) << 2)
  while (x < end) {
    v128.store(out, f32x4.mul(f32x4.mul(v128.load(x), scales), v128.load(weight)))
    x += 16
    weight += 16
    out += 16
  }
  const rest = features & 3
  if (rest) storePartial(out, f32x4.mul(f32x4.mul(loadPartial(x, rest), scales), loadPartial(weight, rest)), rest)
}

/** out = x / sqrt(mean(x^2) + epsilon) * weight, row by row; x, out [n, features] */
export function rmsNorm(out: usize, x: usize, weight: usize, n: i32, features: i32, epsilon: f32): void {
  const stride = <usize>features << 2
  for (let i = 0; i < n; i++) {
    const meanSquare = sumOfSquares(x, features) / <f32>features
    scaleRow(out, x, weight, features, 1 / sqrt<f32>(meanSquare + epsilon))
    x += stride
    out += stride
  }
}

/** out[i] = a[i] + b[i], i < size */
export function addRows(out: usize, a: usize, b: usize, size: i32): void {
  const end = a + (<usize>(size & ~3) << 2)
  while (a < end) {
    v128.store(out, f32x4.add(v128.load(a), v128.load(b)))
    a += 16
    b += 16
    out += 16
  }
  const rest = size & 3
  if (rest) storePartial(out, f32x4.add(loadPartial(a, rest), loadPartial(b, rest)), rest)
}
