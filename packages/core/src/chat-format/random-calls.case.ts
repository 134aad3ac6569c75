import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import type { TestCall } from './families.case.ts'

/** Numbers by a seed, the same every time (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

type Random = () => number

const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)]!

const words = [
  'Zürich',
  '北京',
  '😀',
  'a b',
  '"quoted"',
  "it's",
  '\\',
  '{',
  '}',
  '}}',
  '[',
  ']',
  '],',
  '<b>',
  '</b>',
  '&amp;',
  '<think>',
  '<tool>',
  '[INST]',
  'functions.x:0',
  '\n',
  '\t',
  ' ',
  '```',
  ': ',
  '", "',
  'null',
  '0',
  'true',
  '<',
  '>',
  '|',
  '<|',
  '\u0001',
  '\u00e9',
  'e\u0301',
] as const
/** Only where strings are quoted. */
const markup = [
  '</tool_call>',
  '<tool_call>',
  '</think>',
  '</parameter>',
  '</arg_value>',
  '</function>',
  '[/TOOL_CALLS]',
  '[TOOL_CALLS]',
  '<|tool_call_end|>',
  '```json',
  '<|END_ACTION|>',
  '{"name": "x", "arguments": {}}',
  '[x(a=1)]',
] as const

export interface RandomCallsOptions {
  readonly random: Random
  /** Strings stand between tags as they are: no tag that ends one may be in them. */
  readonly isTagged: boolean
  readonly nameIndex?: number
}

function text({ random, isTagged }: RandomCallsOptions): string {
  const length = Math.floor(random() * 6)
  const from = isTagged || random() < 0.5 ? words : markup
  return Array.from({ length }, () => pick(random, from)).join('')
}

function value(options: RandomCallsOptions, depth: number): unknown {
  const { random } = options
  const kind = Math.floor(random() * (depth > 2 ? 4 : 6))
  if (kind === 0) return Math.floor(random() * 2e6) - 1e6
  if (kind === 1) return Math.round(random() * 1e6) / 1e3
  if (kind === 2) return random() < 0.5
  if (kind === 3) return text(options)
  const length = Math.floor(random() * 3)
  if (kind === 4) return Array.from({ length }, () => (random() < 0.1 ? null : value(options, depth + 1)))
  return Object.fromEntries(
    Array.from({ length }, (_, i) => [`${pick(random, ['k', 'ä', 'a-b', 'x'])}${i}`, value(options, depth + 1)]),
  )
}

function schemaOf(member: unknown): Record<string, unknown> {
  if (Array.isArray(member)) return { type: 'array' }
  if (typeof member === 'number') return { type: Number.isInteger(member) ? 'integer' : 'number' }
  return { type: typeof member }
}

const names = ['get_weather', 'f', 'search.web', 'add-2', 'Ünïcode', 'x'.repeat(60)] as const
const alphanumerics = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** A call, and the tool whose schema it follows. */
export function randomCall(options: RandomCallsOptions, index: number): { call: TestCall; tool: ToolDefinition } {
  const { random } = options
  // Names in Python's form are Python's.
  const name = `${pick(random, names)}_${index}`
  const args = Object.fromEntries(
    Array.from({ length: Math.floor(random() * 4) }, (_, i) => [
      `${pick(random, ['city', 'q', 'Straße', 'n_1'])}${i}`,
      value(options, 0),
    ]),
  )
  const properties = Object.fromEntries(Object.entries(args).map(([key, member]) => [key, schemaOf(member)]))
  const id = Array.from({ length: 9 }, () => pick(random, [...alphanumerics])).join('')
  return {
    call: { name, arguments: args, id },
    tool: { type: 'function', function: { name, description: 'A tool.', parameters: { type: 'object', properties } } },
  }
}
