import { loadPartial, storePartial, sumLanes } from './lanes'

/** Lanes beyond the row, to be kept out of the variance: x - mean is not zero there. */
@inline
function maskPartial(lanes: v128, count: i32): v128 {
  return v128.and(lanes, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count)))
}

function rowMean(x: usize, features: i32): f32 {
  let sum = f32x4.splat(0)
  const end = x + (<usize>(features & ~3) << 2)
  while (x < end) {
    sum = f32x4.add(sum, v128.load(x))
    x += 16
  }
  const rest = features & 3
  if (rest) sum = f32x4.add(sum, loadPartial(x, rest))
  return sumLanes(sum) / <f32>features
}

function rowVariance(x: usize, features: i32, mean: f32): f32 {
  const means = f32x4.splat(mean)
  let sum = f32x4.splat(0)
  const end = x + (<usize>(features & ~3) << 2)
  while (x < end) {
    const centred = f32x4.sub(v128.load(x), means)
    sum = f32x4.add(sum, f32x4.mul(centred, centred))
    x += 16
  }
  const rest = features & 3
  if (rest) {
    const centred = maskPartial(f32x4.sub(loadPartial(x, rest), means), rest)
    sum = f32x4.add(sum, f32x4.mul(centred, centred))
  }
  return sumLanes(sum) / <f32>features
}

/** (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row; bias 0 = none; x, out [n, features] */
export function layerNorm(out: usize, x: usize, weight: usize, bias: usize, n: i32, features: i32, epsilon: f32): void {
  const rest = features & 3
  const body = <usize>(features & ~3) << 2
  const none = f32x4.splat(0)
  for (let i = 0; i < n; i++) {
    const mean = rowMean(x, features)
    const scales = f32x4.splat(1 / sqrt<f32>(rowVariance(x, features, mean) + epsilon))
    const means = f32x4.splat(mean)
    for (let at: usize = 0; at < body; at += 16) {
      const normed = f32x4.mul(f32x4.mul(f32x4.sub(v128.load(x + at), means), scales), v128.load(weight + at))
      v128.store(out + at, f32x4.add(normed, bias ? v128.load(bias + at) : none))
    }
    if (rest) {
      const centred = f32x4.sub(loadPartial(x + body, rest), means)
      const normed = f32x4.mul(f32x4.mul(centred, scales), loadPartial(weight + body, rest))
      storePartial(out + body, f32x4.add(normed, bias ? loadPartial(bias + body, rest) : none), rest)
    }
    x += <usize>features << 2
    out += <usize>features << 2
  }
}
