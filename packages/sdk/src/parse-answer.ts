import type { z } from 'zod'
import { OctavoApiError } from './octavo-api-error.ts'

/** @throws OctavoApiError where the server speaks another protocol; names the first field that differs */
export function parseAnswer<T>(schema: z.ZodType<T>, json: unknown, status: number): T {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const message = `The answer is not of Octavo's protocol: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unknown shape'}`
  throw new OctavoApiError({ message, status, type: 'InvalidResponseError' }, { cause: result.error })
}
