import type { z } from 'zod'
import { CheckpointError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import { isJsonObject } from '../util/json-object.ts'

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
