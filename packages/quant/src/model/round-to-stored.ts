import { encodeRow, isDense, requireWeight, rowBytes, widenRow } from '@octavo/core/loading'
import type { DType, WeightSource } from '@octavo/core/loading'
import { assert } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'

/** Rounds to infinity in float16. */
const float16Overflow = 65_520
const chunk = 1 << 16

interface StoredTensor {
  readonly tensor: string
  readonly view: WeightSource
}

export function storedDtype({ tensor, view }: StoredTensor): DType {
  const { format } = requireWeight(view, tensor)
  assert(isDense(format), `${tensor} is dense`)
  return format
}

/** @throws QuantizationError for values that the dtype does not reach */
export function roundToStored(values: Float32Array, stored: StoredTensor): Float32Array {
  const dtype = storedDtype(stored)
  if (dtype === 'float32') return values
  const rounded = new Float32Array(values.length)
  const bytes = new Uint8Array(rowBytes(dtype, Math.min(chunk, values.length)))
  for (let from = 0; from < values.length; from += chunk) {
    const part = values.subarray(from, from + chunk)
    if (dtype === 'float16') checkFloat16(part, stored.tensor)
    encodeRow(dtype, part, bytes, 0)
    widenRow(dtype, bytes.subarray(0, rowBytes(dtype, part.length)), rounded.subarray(from), part.length)
  }
  return rounded
}

function checkFloat16(values: Float32Array, tensor: string): void {
  const beyond = values.find((value) => Math.abs(value) >= float16Overflow && Number.isFinite(value))
  if (beyond !== undefined)
    throw new QuantizationError(
      `a pass sets ${beyond}, and the checkpoint's float16 ends at 65504; convert the model to bfloat16 first`,
      { module: tensor },
    )
}
