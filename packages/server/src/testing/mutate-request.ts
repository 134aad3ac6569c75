/** A request as it goes out. */
export interface SentRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

/** What works, before it is changed. */
export interface RequestSeed {
  readonly method: SentRequest['method']
  /** Its parts may be changed too. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  /** What of the body is left as it is, so that a request stays a small one. */
  readonly limits?: Readonly<Record<string, unknown>>
  /** JSON, or a text of another type. */
  readonly body?: unknown
  readonly type?: string
}

const names = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'length',
  'then',
  '0',
  '',
  'model',
]
const texts = [
  '',
  'a',
  ' ',
  '\u0000',
  '\ud800',
  '\u202e\ufeff',
  '🚀'.repeat(40),
  'e\u0301',
  '{',
  '[a-',
  '(a+)+$',
  'root ::= root',
  '</tool_call>',
  '<|im_end|>',
  '{{ 1/0 }}',
  '{% for i in range(1e9) %}a{% endfor %}',
  'resp_a',
  '../../etc/passwd',
  '%00',
  'x'.repeat(70_000),
]
const junk: readonly unknown[] = [
  ...texts,
  ...names,
  null,
  true,
  false,
  0,
  -1,
  1,
  1.5,
  2 ** 31,
  2 ** 53,
  1e308,
  [],
  [[]],
  [null],
  [0, 'a'],
  {},
  { type: 'object' },
  { type: 'function' },
  { type: 'text', text: null },
  { $ref: '#' },
  { allOf: [{ not: {} }] },
  { constructor: { prototype: 1 } },
  JSON.parse(`${'{"a":'.repeat(60)}1${'}'.repeat(60)}`),
  JSON.parse(`${'{"items":'.repeat(60)}{}${'}'.repeat(60)}`),
  JSON.parse(`${'['.repeat(190)}1${']'.repeat(190)}`),
  // As prompts, no more than can be answered soon.
  Array.from({ length: 40 }, (_, i) => `c${i}`),
  Array.from({ length: 5000 }, (_, i) => i % 2000),
]
const headers: readonly (readonly [string, string])[] = [
  ['content-type', 'text/plain'],
  ['content-type', 'application/json; charset=utf-16'],
  ['content-type', 'multipart/form-data; boundary='],
  ['content-encoding', 'gzip'],
  ['accept', 'text/event-stream'],
  ['x-request-id', 'a b'],
  ['x-request-id', 'x'.repeat(500)],
  ['authorization', `Bearer ${'k'.repeat(4000)}`],
  ['authorization', 'Basic :'],
  ['x-api-key', '0'],
  ['origin', 'null'],
  ['traceparent', '00-00000000000000000000000000000000-0000000000000000-ff'],
  ['range', 'bytes=0-1'],
  ['if-none-match', '*'],
  ['anthropic-version', '0'],
]
/** Numbers and keys that no JavaScript value has. */
const rawValues = [
  '-0',
  '1e400',
  '123456789012345678901234567890',
  '1.0',
  'NaN',
  '"\\ud800"',
  '"\\u0000"',
  'nul',
  '\u00ff',
  '{"a":1,"a":2}',
]

type Uniform = () => number

/** The same request with one or two changes, which `uniform` decides on: of its body mostly, else of path, query or headers. */
export function mutateRequest(seed: RequestSeed, uniform: Uniform): SentRequest {
  const plan = { body: seed.body, path: seed.path, query: { ...seed.query }, headers: {} as Record<string, string> }
  let isRaw = false
  for (let changes = uniform() < 0.3 ? 2 : 1; changes > 0; changes--) {
    const kind = uniform()
    if (kind < 0.7 && seed.body !== undefined) plan.body = mutated(plan.body, uniform)
    else if (kind < 0.8 && seed.body !== undefined) isRaw = true
    else if (kind < 0.87) plan.headers = Object.fromEntries([oneOf(headers, uniform)])
    else if (kind < 0.94)
      plan.query[uniform() < 0.5 ? oneOf(names, uniform) : oneOf(Object.keys(seed.query ?? { a: 1 }), uniform)] = oneOf(
        texts,
        uniform,
      )
    else plan.path = mutatedPath(plan.path, uniform)
  }
  const request = toSentRequest({ ...seed, ...plan })
  return {
    ...request,
    headers: { ...request.headers, ...plan.headers },
    body: request.body !== null && isRaw ? mutatedText(request.body, uniform) : request.body,
  }
}

export function toSentRequest({
  method,
  path,
  query = {},
  limits,
  body,
  type = 'application/json',
}: RequestSeed): SentRequest {
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body)
  const whole = isObject ? { ...limits, ...body } : body
  const search = new URLSearchParams(query).toString()
  return {
    method,
    path: search === '' ? path : `${path}?${search}`,
    headers: whole === undefined ? {} : { 'content-type': type },
    body: whole === undefined ? null : type === 'application/json' ? JSON.stringify(whole) : String(whole),
  }
}

/** A value with a change at a random place. */
function mutated(value: unknown, uniform: Uniform): unknown {
  const isLeaf = typeof value !== 'object' || value === null
  if (isLeaf || Object.keys(value).length === 0 || uniform() < 0.15) return oneOf(junk, uniform)
  const copy = structuredClone(value) as Record<string, unknown>
  const key = oneOf(Object.keys(copy), uniform)
  const kind = uniform()
  if (kind < 0.1) {
    if (Array.isArray(copy)) copy.push(copy[Number(key)])
    else delete copy[key]
  } else if (kind < 0.15 && !Array.isArray(copy)) {
    copy[oneOf(names.slice(1), uniform)] = oneOf(junk, uniform)
  } else copy[key] = mutated(copy[key], uniform)
  return copy
}

/** What a broken or hostile program writes: a cut, a byte, a key, a value that is none, a key twice. */
function mutatedText(text: string, uniform: Uniform): string {
  const at = Math.floor(uniform() * text.length)
  const quoted = JSON.stringify(oneOf(names, uniform))
  switch (Math.floor(uniform() * 5)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return text.slice(0, at) + oneOf(['"', '{', ']', ',', '\u0000', '\ufeff', 'é'], uniform) + text.slice(at)
    case 2:
      return replacedAt(text, /"[^"\\]*":/g, { uniform, by: `${quoted}:` })
    case 3:
      return replacedAt(text, /:(?:-?\d+|true|null|"[^"\\]*")/g, { uniform, by: `:${oneOf(rawValues, uniform)}` })
    default:
      return replacedAt(text, /\{(?=")/g, { uniform, by: `{${quoted}:${oneOf(rawValues, uniform)},` })
  }
}

/** One of the matches, by something else. */
function replacedAt(
  text: string,
  pattern: RegExp,
  { uniform, by }: { readonly uniform: Uniform; readonly by: string },
): string {
  const found = [...text.matchAll(pattern)]
  if (found.length === 0) return text
  const match = oneOf(found, uniform)
  return text.slice(0, match.index) + by + text.slice(match.index + match[0].length)
}

function mutatedPath(path: string, uniform: Uniform): string {
  const parts = path.split('/')
  const at = 1 + Math.floor(uniform() * (parts.length - 1))
  const part = oneOf(
    ['', '..', '%2e%2e', '%00', '%', '%ff', 'a'.repeat(300), '*', '__proto__', encodeURIComponent('🚀')],
    uniform,
  )
  return (uniform() < 0.5 ? parts.with(at, part) : [...parts, part]).join('/')
}

function oneOf<T>(list: readonly T[], uniform: Uniform): T {
  return list[Math.floor(uniform() * list.length)]!
}
