import { chatFieldName } from '@octavo/sdk/protocol'

/** How requests for tokens spell the fields that core names. */
export function tokensFieldName(field: string, body: unknown): string {
  if (field !== 'prompt') return chatFieldName(field, body)
  return typeof body === 'object' && body !== null && 'messages' in body && body.messages != null
    ? 'messages'
    : 'prompt'
}
