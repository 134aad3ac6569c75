import type { ModelTask, ServedModel } from '@octavo/core'
import { HttpError } from './http-error.ts'

/** Which endpoints are for what a model does. */
const endpointsFor: Readonly<Record<ModelTask, string>> = {
  generate: '/v1/chat/completions and /v1/completions',
  embed: '/v1/embeddings, /v1/score and /v1/rerank',
  classify: '/classify, or, with one class, /v1/score and /v1/rerank',
  token_embed: '/pooling with task "token_embed"',
  token_classify: '/pooling with task "token_classify"',
}

/** @throws HttpError 400 that says what the model does and where to ask for it */
export function requireTask({ id, tasks }: ServedModel, ...wanted: readonly ModelTask[]): void {
  if (wanted.some((task) => tasks.includes(task))) return
  const does = tasks.map((task) => `${task} (${endpointsFor[task]})`).join(', ')
  const names = wanted.join(' or ')
  throw new HttpError(400, `The model "${id}" does not do this (${names}); it does ${does}.`, { param: 'model' })
}
