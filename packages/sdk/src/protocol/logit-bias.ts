import { z } from 'zod'

const tokenIdKey = /^\d{1,15}$/

/** Token id (decimal digits) → bias in [-100, 100]; the engine clamps values beyond. */
export const logitBiasSchema = z
  .custom<Record<string, number>>(isLogitBias, { error: 'must map token ids (decimal digits) to finite numbers' })
  .meta({ type: 'object', additionalProperties: { type: 'number' } })

function isLogitBias(value: unknown): value is Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.entries(value).every(([id, bias]) => tokenIdKey.test(id) && Number.isFinite(bias))
}
