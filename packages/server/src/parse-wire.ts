import { HttpError } from './http-error.ts'

/** What is used of a zod issue; `errors` holds one list per branch of a failed union. */
interface Issue {
  readonly code?: string | undefined
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly input?: unknown
  readonly expected?: unknown
  readonly errors?: readonly (readonly Issue[])[]
}

interface WireSchema<T> {
  safeParse(
    data: unknown,
    options: { readonly reportInput: true },
  ):
    | { readonly success: true; readonly data: T }
    | { readonly success: false; readonly error: { readonly issues: readonly Issue[] } }
}

/** @throws HttpError 400 that names the first wrong field, what it should be and, for numbers, what it is */
export function parseWire<T>(schema: WireSchema<T>, body: unknown): T {
  const result = schema.safeParse(body, { reportInput: true })
  if (result.success) return result.data
  const issue = resolveUnion(result.error.issues[0] ?? { path: [], message: 'is not valid' })
  const field = issue.path.map(String).join('.')
  const message = `${field === '' ? 'The body' : field}: ${describe(issue)}.`
  throw new HttpError(400, message, { type: 'Bad Request', param: field === '' ? null : field })
}

/** Of a union that matched nowhere, the branch whose type was right and whose content was not says most. */
function resolveUnion(issue: Issue): Issue {
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input' || issue.errors === undefined) return issue
  const firsts = issue.errors.flatMap((branch) => branch.slice(0, 1))
  const telling = firsts.find(({ path }) => path.length > 0) ?? firsts.find(({ code }) => code !== 'invalid_type')
  if (telling !== undefined) return resolveUnion({ ...telling, path: [...issue.path, ...telling.path] })
  const expected = firsts.map((first) => String(first.expected)).join(' or ')
  return { ...issue, message: `expected ${expected}, received ${kindOf(firsts[0]?.input)}` }
}

function describe({ message, input }: Issue): string {
  const text = message.replace(/^Invalid input: /, '').replace(/^(.)/, (letter) => letter.toLowerCase())
  // Only numbers and booleans are repeated: strings may be prompts.
  return (typeof input === 'number' || typeof input === 'boolean') && !text.includes('got ')
    ? `${text}, got ${input}`
    : text
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
