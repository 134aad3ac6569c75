import { float16Table } from '../tensor/narrow-floats.ts'
import { rawBlocks } from './raw-tensor.ts'

const [elements, blockBytes] = rawBlocks.q2_k

/**
 * A row of Q2_K as float32. Block: 16 bytes of a 4-bit scale and minimum for each 16 elements, 64 bytes of bit pairs, d, dmin. The
 * minimum is a float of its own, no multiple of the scale: no format of the kernels has these values.
 */
export function expandQ2K(bytes: Uint8Array, from: number, out: Float32Array): void {
  const float16 = float16Table()
  for (let base = 0, at = from; base < out.length; base += elements, at += blockBytes) {
    const d = float16[bytes[at + 80]! | (bytes[at + 81]! << 8)]!
    const dmin = float16[bytes[at + 82]! | (bytes[at + 83]! << 8)]!
    for (let group = 0; group < 16; group++) {
      const scale = d * (bytes[at + group]! & 15)
      const min = dmin * (bytes[at + group]! >>> 4)
      const codes = at + 16 + 32 * (group >>> 3) + 16 * (group & 1)
      const shift = 2 * ((group >>> 1) & 3)
      for (let i = 0; i < 16; i++) out[base + 16 * group + i] = scale * ((bytes[codes + i]! >>> shift) & 3) - min
    }
  }
}
