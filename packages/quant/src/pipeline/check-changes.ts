import { assert } from '@octavo/core/backend'
import { widenRow } from '@octavo/core/loading'
import { codeValues, planesOf, QuantizationError } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { LayerChanges } from '../model/checkpoint-layer.ts'

/** What was checked already, so that it is not again after the next pass. */
export type Checked = WeakSet<object>

/** @throws QuantizationError naming layer, module and place of a value that is no number */
export function checkChanges(
  { modules, vectors, cacheScales }: LayerChanges,
  { layer, pass, checked }: { readonly layer: string; readonly pass: string; readonly checked: Checked },
): void {
  const refuse = (module: string, what: string): never => {
    throw new QuantizationError(
      `${pass} made ${what}. Is a scale or a value of the checkpoint too large? Leave the module out (\`ignore\`) or give the pass other options`,
      { layer, module },
    )
  }
  const isNew = (values: object): boolean => {
    const wasChecked = checked.has(values)
    checked.add(values)
    return !wasChecked
  }
  for (const [name, { values, quantized }] of modules) {
    if (values !== null && isNew(values)) checkValues(values, (what) => refuse(name, `its weight ${what}`))
    if (quantized !== null && isNew(quantized)) checkQuantized(quantized, (what) => refuse(name, what))
  }
  for (const [name, values] of vectors)
    if (isNew(values)) checkValues(values, (what) => refuse(name, `its values ${what}`))
  if (cacheScales === null) return
  for (const values of [cacheScales.keys, cacheScales.values]) {
    const wrong = values.find((value) => !(value > 0 && value < Infinity))
    const what = values === cacheScales.keys ? 'keys' : 'values'
    if (wrong !== undefined) refuse(layer, `${wrong} a scale of its ${what}, which is a positive number`)
  }
}

function checkValues(values: Float32Array, refuse: (what: string) => never): void {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) refuse(`${values[i]} at ${i}`)
}

/** Integers are numbers whatever they are; scales and codes that stand for NaN are not. */
function checkQuantized(weight: GroupedWeight, refuse: (what: string) => never): void {
  const { format, planes, rows, cols } = weight
  const layout = planesOf(weight)
  if (planes.length !== layout.sizeInBytes)
    refuse(`planes of ${planes.length} bytes, where ${rows} rows of ${cols} take ${layout.sizeInBytes}`)
  const { offset, sizeInBytes } = layout.scales
  const bytes = planes.subarray(offset, offset + sizeInBytes)
  const elementBytes = format.scaleDtype === 'float32' ? 4 : 2
  const scales = new Float32Array(sizeInBytes / elementBytes)
  widenRow(format.scaleDtype, bytes, scales, scales.length)
  for (let i = 0; i < scales.length; i++) if (!Number.isFinite(scales[i])) refuse(`a scale of ${scales[i]}`)
  if (format.codebook !== 'e4m3') return
  assert(Number.isNaN(codeValues(format)[0x7f]), 'e4m3 has its NaN in the last code')
  const codes = planes.subarray(layout.codes.offset, layout.codes.offset + layout.codes.sizeInBytes)
  const { stride } = layout.codes
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++)
      if ((codes[row * stride + col]! & 0x7f) === 0x7f) refuse(`NaN at ${row}, ${col}`)
}
