import type { EngineClient, ServedModel } from '@octavo/core'
import { HttpError } from './http-error.ts'

const maxQuotedLength = 200

/** The served model of that name, or the first where none is named. @throws HttpError 404 that lists the known ones */
export function resolveModel({ models }: Pick<EngineClient, 'models'>, name: string | null): ServedModel {
  const model = name === null ? models[0] : models.find(({ id }) => id === name)
  if (model !== undefined) return model
  const known = models.map(({ id }) => `"${id}"`).join(', ')
  const quoted = JSON.stringify((name ?? '').slice(0, maxQuotedLength))
  throw new HttpError(404, `The model ${quoted} does not exist; this server has: ${known}.`, { param: 'model' })
}
