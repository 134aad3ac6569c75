import { randomBytes } from 'node:crypto'
import type { ToolCallSyntax } from './chat-format.ts'

const alphanumerics = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** An id of a call that the template takes back. */
export function createCallId(style: ToolCallSyntax['idStyle']): string {
  return style === 'nineAlphanumerics' ? randomText(9) : `call_${randomText(24)}`
}

function randomText(length: number): string {
  return Array.from(randomBytes(length), (byte) => alphanumerics[byte % alphanumerics.length]).join('')
}
