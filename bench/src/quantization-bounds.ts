import type { ComparedModel, Evaluation } from '@octavo/quant'
import type { QuantizationVariant } from './quantization-variants.ts'

export interface Bound {
  readonly text: string
  readonly isHeld: boolean
}

/** What may be lost: a variant's divergence as a share of another's. */
const shares: readonly (readonly [QuantizationVariant, QuantizationVariant, number])[] = [
  ['int4 GPTQ', 'int4 RTN', 0.7],
  ['int4 AWQ', 'int4 RTN', 0.7],
  ['int4 g32 GPTQ', 'int4 g32 RTN', 1],
  ['int3 g32 GPTQ', 'int3 g32 RTN', 1],
]

/** int8 answers as the original does, and what searches loses less than what rounds. */
export function boundsOf({ models }: Evaluation): Bound[] {
  const find = (name: QuantizationVariant): ComparedModel | undefined => models.find(({ model }) => model === name)
  const klOf = (name: QuantizationVariant): number => find(name)?.divergences.at(-1)?.divergence.mean.value ?? NaN
  const outside = (find('int8 RTN')?.taskComparisons ?? []).filter(({ isWithinOriginal }) => !isWithinOriginal)
  return [
    {
      text:
        outside.length === 0
          ? 'int8 RTN: every set is within the interval of the original'
          : `int8 RTN: outside the interval of the original: ${outside.map(({ name }) => name).join(', ')}`,
      isHeld: outside.length === 0 && find('int8 RTN') !== undefined,
    },
    ...shares.map(([better, worse, share]) => {
      const found = klOf(better) / klOf(worse)
      const isHeld = found <= share
      return {
        text: `KL(${better}) is ${found.toFixed(3)} of KL(${worse}); ${isHeld ? 'held' : 'NOT held'}: at most ${share}`,
        isHeld,
      }
    }),
  ]
}
