import type { Refusal } from './grammar-messages.ts'

const maxLength = 300

/** In words for the client who sent it: what the library `printed` quotes that. */
export function refusalOf(error: unknown, printed: readonly string[]): Refusal {
  const fatal = printed.find((line) => line.includes('[FATAL]'))
  if (fatal !== undefined)
    return { reason: clean(fatal.replace(/^.*?\[FATAL\]\s*\S*?\.(?:cc|h):\d+:\s*/s, '')), isSound: true }
  // C++ exceptions arrive as numbers.
  if (typeof error === 'number') return { reason: 'its parts do not fit together', isSound: true }
  return { reason: 'it is nested too deep, or too large', isSound: false }
}

function clean(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '')
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line
}
