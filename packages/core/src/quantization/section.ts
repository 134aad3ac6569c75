import { z } from 'zod'
import { CheckpointError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import { isJsonObject } from '../util/json-object.ts'
import { ceilDiv } from '../util/math.ts'

export const groupSizeSchema = z.union([
  z.literal(-1),
  z
    .int()
    .min(1)
    .max(2 ** 20),
])

/** @throws CheckpointError naming the key that is missing or wrong */
export function parseSection<T extends z.ZodType>({ file, json }: QuantizationSection, schema: T): z.output<T> {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = (issue?.path ?? []).map(String)
  const value = path.reduce<unknown>((part, key) => (isJsonObject(part) ? part[key] : undefined), json)
  const reason = value === undefined ? 'is missing' : `${issue?.message} (found ${JSON.stringify(value).slice(0, 80)})`
  throw new CheckpointError(file, `quantization_config's "${path.join('.')}": ${reason}`)
}

/** -1 stands for one group. */
export function groupSizeOf(value: number): number | 'channel' {
  return value === -1 ? 'channel' : value
}

/** For messages: 'bits 4, group_size 128'. */
export function describeGroups(bits: number, groupSize: number | 'channel'): string {
  return `bits ${bits}, group_size ${groupSize === 'channel' ? -1 : groupSize}`
}

/** How columns are in groups: a group of all columns is the whole row. */
export function resolveGroups(
  groupSize: number | 'channel',
  cols: number,
): { groupSize: number | 'channel'; numGroups: number } {
  if (groupSize === 'channel' || groupSize >= cols) return { groupSize: 'channel', numGroups: 1 }
  return { groupSize, numGroups: ceilDiv(cols, groupSize) }
}
