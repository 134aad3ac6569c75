// Attention of one sequence over keys and values in blocks, as scores, softmax and weighted sum of each (query row, head).
// THE ORDER: a score is reduced over headDim as in dot.ts; the softmax sum adds key position j in lane j mod 4, positions
// ascending; an output element adds the values in ascending key position. All follow from absolute positions alone,
// so blocks, chunked prefill, prefix hits and the rest of the batch do not change a bit.
import { dot1x1, dot4x1, dot4x2 } from './dot'
import { exp1, exp4, tanh4 } from './exp'
import { maxLanes, sumLanes } from './lanes'
import { Float32Row } from './widen'

/** scores[j] = key[j] . query for `count` keys `stride` bytes apart; two query heads where `queryB` is not 0. */
function scoreKeys(a: usize, b: usize, keys: usize, stride: usize, count: i32, queryA: usize, queryB: usize, headDim: i32): void {
  let j = 0
  for (; j + 4 <= count; j += 4) {
    if (queryB) dot4x2(a, b, keys, stride, queryA, queryB, headDim)
    else dot4x1<Float32Row>(a, keys, stride, queryA, headDim)
    keys += stride << 2
    a += 16
    b += 16
  }
  for (; j < count; j++) {
    dot1x1<Float32Row>(a, keys, queryA, headDim)
    if (queryB) dot1x1<Float32Row>(b, keys, queryB, headDim)
    keys += stride
    a += 4
    b += 4
  }
}

/** Raw scores to weights exp(score - max), in place; returns the softmax denominator. `size` is a multiple of four. */
function softmaxWeights(scores: usize, size: i32, scale: f32, softcap: f32, hasSink: bool, sink: f32): f32 {
  const end = scores + (<usize>size << 2)
  const scales = f32x4.splat(softcap > 0 ? scale / softcap : scale)
  const caps = f32x4.splat(softcap)
  const masked = f32x4.splat(-f32.MAX_VALUE)
  let largest = masked
  for (let at = scores; at < end; at += 16) {
    const raw = v128.load(at)
    let lanes = f32x4.mul(raw, scales)
    // Padding lanes hold -infinity; tanh would lift them to -softcap.
    if (softcap > 0) lanes = v128.bitselect(raw, f32x4.mul(tanh4(lanes), caps), f32x4.eq(raw, f32x4.splat(-Infinity)))
    v128.store(at, lanes)
    largest = f32x4.max(largest, lanes)
  }
  let top = maxLanes(largest)
  if (hasSink) top = max<f32>(top, sink)
  const tops = f32x4.splat(top)
  let sum = f32x4.splat(0)
  for (let at = scores; at < end; at += 16) {
    const weight = exp4(f32x4.sub(v128.load(at), tops))
    v128.store(at, weight)
    sum = f32x4.add(sum, weight)
  }
  return sumLanes(sum) + (hasSink ? exp1(sink - top) : <f32>0)
}

@inline
function weigh(values: usize, weight: v128, sum: v128): v128 {
  return f32x4.add(sum, f32x4.mul(v128.load(values), weight))
}

/** Adds weights[j] * values[j] for `count` keys to the output, in key order; eight vectors of it at a time stay in registers. */
function addValues(out: usize, values: usize, stride: usize, weights: usize, count: i32, headDim: i32): void {
  const end = weights + (<usize>count << 2)
  let d = 0
  for (; d + 32 <= headDim; d += 32) {
    let s0 = v128.load(out)
    let s1 = v128.load(out, 16)
    let s2 = v128.load(out, 32)
    let s3 = v128.load(out, 48)
    let s4 = v128.load(out, 64)
    let s5 = v128.load(out, 80)
    let s6 = v128.load(out, 96)
    let s7 = v128.load(out, 112)
    let v = values
    for (let at = weights; at < end; at += 4) {
      const weight = v128.load32_splat(at)
      s0 = weigh(v, weight, s0)
      s1 = weigh(v + 16, weight, s1)
      s2 = weigh(v + 32, weight, s2)
      s3 = weigh(v + 48, weight, s3)
      s4 = weigh(v + 64, weight, s4)
      s5 = weigh(v + 80, weight, s5)
      s6 = weigh(v + 96, weight, s6)
      s7 = weigh(v + 112, weight, s7)
      v += stride
    }
    v128.store(out, s0)
    v128.store(out, s1, 16)
    v128.store(out, s2, 32)
    v128.store(out, s3, 48)
    v128.store(out, s4, 64)
    v128.store(out, s5, 80)
    v128.store(out, s6, 96)
    v128.store(out, s7, 112)
    out += 128
    values += 128
  }
  for (; d + 4 <= headDim; d += 4) {
    let sum = v128.load(out)
    let v = values
    for (let at = weights; at < end; at += 4) {
      sum = weigh(v, v128.load32_splat(at), sum)
      v += stride
    }
    v128.store(out, sum)
    out += 16
    values += 16
  }
  for (; d < headDim; d++) {
    let sum = load<f32>(out)
    let v = values
    for (let at = weights; at < end; at += 4) {
      sum += load<f32>(v) * load<f32>(at)
      v += stride
    }
    store<f32>(out, sum)
    out += 4
    values += 4
  }
}

function divideRow(out: usize, headDim: i32, denominator: f32): void {
  for (let d = 0; d < headDim; d++) {
    store<f32>(out, load<f32>(out) / denominator)
    out += 4
  }
}

/** Fills the scores outside first..last with -infinity up to multiples of four. */
function padScores(scores: usize, before: i32, used: i32, size: i32): void {
  for (let i = 0; i < before; i++) store<f32>(scores + (<usize>i << 2), -Infinity)
  for (let i = used; i < size; i++) store<f32>(scores + (<usize>i << 2), -Infinity)
}

/**
 * One sequence: query, out [queryLen, numHeads * headDim]; row i has position numKeys - queryLen + i. blockTable: int32 block ids;
 * keyCache, valueCache: [numBlocks, blockSize, numKvHeads, headDim]; without a cache the sequence is one block. window: a row at
 * position p sees j with |p - j| < window (i32.MAX_VALUE = all), and j <= p where isCausal. softcap 0 = none; sinks 0 = none, else
 * [numHeads]. scores: two rows of `scoreStride` bytes, a multiple of 16, with room for the keys that a row sees + 6 floats each.
 */
export function attendSequence(
  out: usize,
  query: usize,
  queryLen: i32,
  numKeys: i32,
  blockTable: usize,
  keyCache: usize,
  valueCache: usize,
  blockSize: i32,
  numHeads: i32,
  numKvHeads: i32,
  headDim: i32,
  scale: f32,
  isCausal: bool,
  window: i32,
  softcap: f32,
  sinks: usize,
  scores: usize,
  scoreStride: usize,
): void {
  const headBytes = <usize>headDim << 2
  const tokenBytes = <usize>numKvHeads * headBytes
  const blockBytes = <usize>blockSize * tokenBytes
  const group = numHeads / numKvHeads
  memory.fill(out, 0, <usize>queryLen * <usize>numHeads * headBytes)
  for (let i = 0; i < queryLen; i++) {
    const position = numKeys - queryLen + i
    const first = position < window ? 0 : position - window + 1
    const last = isCausal ? position : numKeys - position < window ? numKeys - 1 : position + window - 1
    const origin = first & ~3
    const size = (last + 4 - origin) & ~3
    for (let h = 0; h < numHeads; h += 0) {
      const kvOffset = <usize>(h / group) * headBytes
      const pair = (h % group) + 2 <= group
      const queryA = query + <usize>h * headBytes
      const outA = out + <usize>h * headBytes
      padScores(scores, first - origin, last + 1 - origin, size)
      if (pair) padScores(scores + scoreStride, first - origin, last + 1 - origin, size)
      for (let j = first; j <= last; ) {
        const block = j / blockSize
        const count = min<i32>((block + 1) * blockSize, last + 1) - j
        const within = <usize>(j - block * blockSize) * tokenBytes + kvOffset
        const keys = keyCache + <usize>load<u32>(blockTable + (<usize>block << 2)) * blockBytes + within
        const at = scores + (<usize>(j - origin) << 2)
        scoreKeys(at, at + scoreStride, keys, tokenBytes, count, queryA, pair ? queryA + headBytes : 0, headDim)
        j += count
      }
      const sinkA = sinks ? load<f32>(sinks + (<usize>h << 2)) : <f32>0
      const sumA = softmaxWeights(scores, size, scale, softcap, sinks != 0, sinkA)
      let sumB: f32 = 1
      if (pair) {
        const sinkB = sinks ? load<f32>(sinks + (<usize>h << 2), 4) : <f32>0
        sumB = softmaxWeights(scores + scoreStride, size, scale, softcap, sinks != 0, sinkB)
      }
      for (let j = first; j <= last; ) {
        const block = j / blockSize
        const count = min<i32>((block + 1) * blockSize, last + 1) - j
        const within = <usize>(j - block * blockSize) * tokenBytes + kvOffset
        const values = valueCache + <usize>load<u32>(blockTable + (<usize>block << 2)) * blockBytes + within
        const at = scores + (<usize>(j - origin) << 2)
        addValues(outA, values, tokenBytes, at, count, headDim)
        if (pair) addValues(outA + headBytes, values, tokenBytes, at + scoreStride, count, headDim)
        j += count
      }
      divideRow(outA, headDim, sumA)
      if (pair) divideRow(outA + headBytes, headDim, sumB)
      h += pair ? 2 : 1
    }
    query += <usize>numHeads * headBytes
    out += <usize>numHeads * headBytes
  }
}
