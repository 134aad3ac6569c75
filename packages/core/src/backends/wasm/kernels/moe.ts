// Moving a mixture's rows to and from their experts.
import { loadPartial, storePartial } from './lanes'

/** out[i] = x[tokens[i]], rows of `rowBytes`; tokens int32 */
export function gatherRows(out: usize, x: usize, tokens: usize, count: i32, rowBytes: usize): void {
  for (let i = 0; i < count; i++) {
    memory.copy(out, x + <usize>load<u32>(tokens + (<usize>i << 2)) * rowBytes, rowBytes)
    out += rowBytes
  }
}

/** out[tokens[i]] += weights[i] * x[i], rows of `features` floats; tokens int32, each at most once */
export function scatterAddRows(out: usize, x: usize, tokens: usize, weights: usize, count: i32, features: i32): void {
  const body = <usize>(features & ~3) << 2
  const rest = features & 3
  for (let i = 0; i < count; i++) {
    const to = out + ((<usize>load<u32>(tokens + (<usize>i << 2)) * <usize>features) << 2)
    const weight = v128.load32_splat(weights + (<usize>i << 2))
    for (let at: usize = 0; at < body; at += 16) {
      v128.store(to + at, f32x4.add(v128.load(to + at), f32x4.mul(v128.load(x + at), weight)))
    }
    if (rest) {
      const added = f32x4.add(loadPartial(to + body, rest), f32x4.mul(loadPartial(x + body, rest), weight))
      storePartial(to + body, added, rest)
    }
    x += <usize>features << 2
  }
}
