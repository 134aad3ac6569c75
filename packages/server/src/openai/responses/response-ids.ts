import { randomBytes } from 'node:crypto'

const responsePrefix = 'resp_'

/** A name that nobody can guess, or the one that the request brings, as with vLLM. */
export function createResponseId(wanted: string | null): string {
  if (wanted === null) return responsePrefix + randomBytes(24).toString('hex')
  return wanted.startsWith(responsePrefix) ? wanted : responsePrefix + wanted
}

const prefixes = { message: 'msg', reasoning: 'rs', function_call: 'fc', function_call_output: 'fco' } as const

/** Items are named after their response, so that one can be found by its name: `i` stands before the places of its input. */
export function outputItemId(type: keyof typeof prefixes, responseId: string, index: number): string {
  return `${prefixes[type]}_${responseId.slice(responsePrefix.length)}_${index}`
}

export function inputItemId(type: keyof typeof prefixes, responseId: string, index: number): string {
  return `${prefixes[type]}_${responseId.slice(responsePrefix.length)}_i${index}`
}

/** Which response made, or was given, the item of this name; `null` for names of another kind. */
export function responseOfItem(itemId: string): string | null {
  const name = /^(?:msg|rs|fc|fco)_(.+)_i?\d{1,6}$/.exec(itemId)?.[1]
  return name === undefined ? null : responsePrefix + name
}
