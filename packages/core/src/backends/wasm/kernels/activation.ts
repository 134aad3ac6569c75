import { swish4 } from './exp'
import { gelu4, geluTanh4 } from './gelu'
import { loadPartial, storePartial } from './lanes'

// Codes shared with `activationCodes` in wasm-kernels.ts.
const SILU = 0
const GELU = 1
const GELU_TANH = 2
const RELU = 3
const SWIGLU_OSS = 4

function activate4(x: v128, kind: i32): v128 {
  switch (kind) {
    case SILU:
      return swish4(x, f32x4.splat(1))
    case GELU:
      return gelu4(x)
    case GELU_TANH:
      return geluTanh4(x)
    case RELU:
      return f32x4.max(x, f32x4.splat(0))
    default:
      return unreachable()
  }
}

/** gpt-oss: (up + 1) * gate * sigmoid(1.702 * gate), gate <= 7, |up| <= 7 */
@inline
function swigluOss4(gate: v128, up: v128): v128 {
  const limit = f32x4.splat(7)
  const clampedGate = f32x4.min(gate, limit)
  const clampedUp = f32x4.max(f32x4.min(up, limit), f32x4.neg(limit))
  return f32x4.mul(f32x4.add(clampedUp, f32x4.splat(1)), swish4(clampedGate, f32x4.splat(1.702)))
}

@inline
function gate4(gate: v128, up: v128, kind: i32): v128 {
  return kind == SWIGLU_OSS ? swigluOss4(gate, up) : f32x4.mul(activate4(gate, kind), up)
}

/** out[i] = act(x[i]), i < size */
export function activation(out: usize, x: usize, size: i32, kind: i32): void {
  const end = x + (<usize>(size & ~3) << 2)
  while (x < end) {
    v128.store(out, activate4(v128.load(x), kind))
    x += 16
    out += 16
  }
  const rest = size & 3
  if (rest) storePartial(out, activate4(loadPartial(x, rest), kind), rest)
}

/** gateUp [n, 2 * features] -> out [n, features] */
export function gatedActivation(out: usize, gateUp: usize, n: i32, features: i32, kind: i32): void {
  const rest = features & 3
  for (let i = 0; i < n; i++) {
    let up = gateUp + (<usize>features << 2)
    const end = gateUp + (<usize>(features & ~3) << 2)
    while (gateUp < end) {
      v128.store(out, gate4(v128.load(gateUp), v128.load(up), kind))
      gateUp += 16
      up += 16
      out += 16
    }
    if (rest) {
      storePartial(out, gate4(loadPartial(gateUp, rest), loadPartial(up, rest), kind), rest)
      out += <usize>rest << 2
      up += <usize>rest << 2
    }
    gateUp = up
  }
}
