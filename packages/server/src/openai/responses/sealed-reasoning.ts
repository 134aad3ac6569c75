import { HttpError } from '../../http-error.ts'

const mark = 'octavo-reasoning-1.'

/**
 * What `encrypted_content` holds: the reasoning, for clients that keep conversations themselves and give it back without
 * looking at it. It is in the item in plain text, too, so there is nothing to hide.
 */
export function sealReasoning(text: string): string {
  return mark + Buffer.from(text).toString('base64url')
}

/** @throws HttpError 400 for what another server made */
export function openReasoning(sealed: string, param: string): string {
  if (sealed.startsWith(mark)) return Buffer.from(sealed.slice(mark.length), 'base64url').toString()
  const message = `${param}: is none that this server made; leave it out and send the reasoning as content or summary, or leave the item out.`
  throw new HttpError(400, message, { param, code: 'invalid_encrypted_content' })
}
