import { loadPartial, storePartial } from './lanes'

/** Rotates the pairs (i, i + half) of one head by the angles of one table row: `half` cosines, then `half` sines. */
function rotateHead(out: usize, x: usize, angles: usize, half: i32): void {
  const bytes = <usize>half << 2
  const body = <usize>(half & ~3) << 2
  for (let at: usize = 0; at < body; at += 16) {
    const cos = v128.load(angles + at)
    const sin = v128.load(angles + bytes + at)
    const first = v128.load(x + at)
    const second = v128.load(x + bytes + at)
    v128.store(out + at, f32x4.sub(f32x4.mul(first, cos), f32x4.mul(second, sin)))
    v128.store(out + bytes + at, f32x4.add(f32x4.mul(second, cos), f32x4.mul(first, sin)))
  }
  const rest = half & 3
  if (rest) {
    const cos = loadPartial(angles + body, rest)
    const sin = loadPartial(angles + bytes + body, rest)
    const first = loadPartial(x + body, rest)
    const second = loadPartial(x + bytes + body, rest)
    storePartial(out + body, f32x4.sub(f32x4.mul(first, cos), f32x4.mul(second, sin)), rest)
    storePartial(out + bytes + body, f32x4.add(f32x4.mul(second, cos), f32x4.mul(first, sin)), rest)
  }
}

/** x, out [n, numHeads * headDim]; table [maxPositions, rotaryDim]; positions [n] (int32) */
export function rotaryEmbedding(
  out: usize,
  x: usize,
  table: usize,
  positions: usize,
  n: i32,
  numHeads: i32,
  headDim: i32,
  rotaryDim: i32,
): void {
  const headBytes = <usize>headDim << 2
  const rotaryBytes = <usize>rotaryDim << 2
  for (let i = 0; i < n; i++) {
    const angles = table + <usize>load<u32>(positions + (<usize>i << 2)) * rotaryBytes
    for (let h = 0; h < numHeads; h++) {
      rotateHead(out, x, angles, rotaryDim >> 1)
      memory.copy(out + rotaryBytes, x + rotaryBytes, headBytes - rotaryBytes)
      x += headBytes
      out += headBytes
    }
  }
}
