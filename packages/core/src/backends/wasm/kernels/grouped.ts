import { BFLOAT16, FLOAT16 } from './formats.generated'
import { Weight } from './weight'
import { widenBFloat16Row, widenFloat16Row } from './widen'

/** The row's scales as float32, where they lie or in the weight's scratch. */
function widenedScales(weight: Weight, row: usize): usize {
  const scales = weight.scales + row * weight.scaleStride
  if (weight.scaleFormat == BFLOAT16) widenBFloat16Row(weight.scratch, scales, weight.numGroups)
  else if (weight.scaleFormat == FLOAT16) widenFloat16Row(weight.scratch, scales, weight.numGroups)
  else return scales
  return weight.scratch
}

/** Row `row` to float32; the same values as `createGroupedReader` in tensor/grouped-format.ts, bit for bit. */
export function dequantizeGroupedRow(out: usize, weight: Weight, row: usize): void {
  const scales = widenedScales(weight, row)
  const codes = weight.rows + row * weight.stride
  const zeros = weight.zeros ? weight.zeros + row * <usize>weight.numGroups : 0
  const bits = <usize>weight.bits
  const mask: u32 = (1 << weight.bits) - 1
  const values = weight.values
  const groupOf = weight.groupOf
  const end = <usize>weight.cols * bits
  let column: usize = 0
  for (let bit: usize = 0; bit < end; bit += bits, column += 4) {
    // A code of up to 8 bits ends in the next byte at the latest; behind the codes of the last row there are scales.
    const code = (<u32>load<u16>(codes + (bit >> 3)) >> (<u32>bit & 7)) & mask
    const group = <usize>load<u32>(groupOf + column)
    let value = load<f32>(values + (<usize>code << 2))
    if (zeros) value -= <f32>load<u8>(zeros + group)
    store<f32>(out + column, value * load<f32>(scales + (group << 2)))
  }
}
