import { expect } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { OctavoError } from '../errors.ts'
import { allWeightFormats, weightFormats } from '../tensor/dtype.ts'
import type { GroupedFormat } from '../tensor/grouped-format.ts'
import { describeFormat, isGrouped } from '../tensor/packed-weight.ts'
import type { PackedFormat } from '../tensor/packed-weight.ts'

const int4: GroupedFormat = {
  kind: 'grouped',
  bits: 4,
  codebook: 'integers',
  groupSize: 32,
  scaleDtype: 'float16',
  hasZeros: true,
  hasOrder: false,
}

/** Grouped weights in the sizes, dtypes and planes that checkpoints have. */
export const groupedFormats = {
  int4,
  int4Symmetric: { ...int4, groupSize: 128, scaleDtype: 'bfloat16', hasZeros: false },
  int4Ordered: { ...int4, groupSize: 16, hasOrder: true },
  int4Group128: { ...int4, groupSize: 128 },
  int4Group128Ordered: { ...int4, groupSize: 128, scaleDtype: 'bfloat16', hasOrder: true },
  int4Channel: { ...int4, groupSize: 'channel', scaleDtype: 'bfloat16' },
  int8: { ...int4, bits: 8, groupSize: 'channel', scaleDtype: 'float32', hasZeros: false },
  int8Asymmetric: { ...int4, bits: 8, groupSize: 128, scaleDtype: 'bfloat16' },
  int3: { ...int4, bits: 3, hasOrder: true, hasZeros: false },
  int3Group128: { ...int4, bits: 3, groupSize: 128, hasZeros: false },
  int2: { ...int4, bits: 2, groupSize: 16, scaleDtype: 'bfloat16' },
  int5: { ...int4, bits: 5, groupSize: 40 },
  e2m1: { ...int4, codebook: 'e2m1', groupSize: 16, scaleDtype: 'float32', hasZeros: false },
  e2m1Group32: { ...int4, codebook: 'e2m1', scaleDtype: 'bfloat16', hasZeros: false },
  table: { ...int4, bits: 3, codebook: [-1.125, -1, -0.875, -0.125, 0, 0.125, 0.875, 1.125], hasZeros: false },
  e4m3: { ...int4, bits: 8, codebook: 'e4m3', groupSize: 128, scaleDtype: 'float32', hasZeros: false },
  e4m3Channel: { ...int4, bits: 8, codebook: 'e4m3', groupSize: 'channel', scaleDtype: 'bfloat16', hasZeros: false },
} satisfies Record<string, GroupedFormat>

/** Every format by name, and those of groups by their description. */
export const testedFormats: readonly (readonly [string, PackedFormat])[] = [
  ...allWeightFormats,
  ...Object.values(groupedFormats),
].map((format) => [describeFormat(format), format] as const)

/** Two widths or more: dense formats need no whole vectors, blocks are whole, the last group need not be. */
export function widthsOf(format: PackedFormat): readonly number[] {
  if (isGrouped(format)) return [37, 160, 288]
  const block = weightFormats[format].blockElements
  return block === 1 ? [1, 37, 96, 260] : [block, 3 * block]
}

/** What a backend says that has no weights in this format; null where it has. */
export function refusalOf(pack: BackendPack, format: PackedFormat): string | null {
  try {
    pack.packWeight({ format, rows: 2, cols: widthsOf(format)[0]! }, (bytes) => bytes.fill(0)).dispose()
    return null
  } catch (error) {
    if (!isGrouped(format) || !OctavoError.isInstance(error) || error.code !== 'unsupported_model') throw error
    expect(error.message).toContain(describeFormat(format))
    return error.message
  }
}
