import { awq, gptq, type LayerPass, roundToNearest } from '@octavo/quant'

/** By name: what is done to the model. Weights of the decoder layers only; embedding and head, which are one table, stay. */
export const quantizationVariants = {
  'int8 RTN': () => [roundToNearest({ bits: 8, groupSize: 'channel' })],
  'int4 RTN': () => [roundToNearest({ bits: 4, groupSize: 'channel' })],
  'int4 GPTQ': () => [gptq({ bits: 4, groupSize: 'channel' })],
  'int4 AWQ': () => [awq({ bits: 4, groupSize: 'channel' })],
  'int4 g32 RTN': () => [roundToNearest({ bits: 4, groupSize: 32 })],
  'int4 g32 GPTQ': () => [gptq({ bits: 4, groupSize: 32 })],
  'int3 g32 RTN': () => [roundToNearest({ bits: 3, groupSize: 32 })],
  'int3 g32 GPTQ': () => [gptq({ bits: 3, groupSize: 32 })],
} satisfies Readonly<Record<string, () => LayerPass[]>>

export type QuantizationVariant = keyof typeof quantizationVariants
