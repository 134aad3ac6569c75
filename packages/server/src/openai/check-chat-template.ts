import { HttpError } from '../http-error.ts'
import type { ServerContext } from '../server-context.ts'

/** @throws HttpError 400 for a template that a request brings, where they are not trusted */
export function checkChatTemplate(
  body: { readonly chat_template?: string | null | undefined },
  { trustRequestChatTemplate }: ServerContext,
): void {
  if (body.chat_template == null || trustRequestChatTemplate) return
  const message =
    'chat_template: this server does not run templates that requests bring; its operator can allow them (trustRequestChatTemplate, --trust-request-chat-template).'
  throw new HttpError(400, message, { param: 'chat_template' })
}
