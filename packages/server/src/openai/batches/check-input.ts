import type { TurnQueue } from '@octavo/core'
import { batchEndpoints, batchLineSchema } from '@octavo/sdk/protocol'
import type { BatchError } from './batch-record.ts'
import { HttpError } from '../../http-error.ts'
import { parseJsonBody } from '../../json-body.ts'
import { JsonSource } from '../../json-source.ts'
import { parseWire } from '../../parse-wire.ts'
import type { InputLine } from './read-lines.ts'
import type { RequestLine } from './run-line.ts'

/** OpenAI's. */
const maxLines = 50_000
/** Whoever made more has made the same one each time. */
const maxErrors = 100

export interface CheckedInput {
  readonly numLines: number
  readonly errors: readonly BatchError[]
}

/** Looks at all lines before any of them runs. */
export async function checkInput(
  lines: AsyncIterable<InputLine>,
  { endpoint, turns }: { readonly endpoint: string; readonly turns: TurnQueue },
): Promise<CheckedInput> {
  const errors: BatchError[] = []
  const seen = new Set<string>()
  let numLines = 0
  for await (const { number, bytes } of lines) {
    if (++numLines > maxLines) {
      errors.push({
        code: 'too_many_lines',
        message: `The file has more than ${maxLines} requests; split it.`,
        param: null,
        line: number,
      })
      break
    }
    const error = await checkLine(bytes, { endpoint, turns, seen })
    if (error !== null) errors.push({ ...error, line: number })
    if (errors.length === maxErrors) break
  }
  if (numLines === 0) errors.push({ code: 'empty_file', message: 'The file has no requests.', param: null, line: null })
  return { numLines, errors }
}

interface CheckOptions {
  /** `null`: any that batches may have. */
  readonly endpoint: string | null
  readonly turns: TurnQueue
  readonly seen: Set<string>
}

/** What is wrong with a line; its name is taken. */
export async function checkLine(
  bytes: Buffer | null,
  { endpoint, turns, seen }: CheckOptions,
): Promise<Omit<BatchError, 'line'> | null> {
  if (bytes === null)
    return { code: 'line_too_long', message: 'The line is longer than a request may be.', param: null }
  try {
    const { custom_id: id, url } = parseWire(batchLineSchema, await parseJsonBody(bytes, turns))
    const message =
      endpoint === null ? urlFault(url) : url === endpoint ? null : `url: must be ${endpoint}, which the batch is for.`
    if (message !== null) return { code: 'invalid_url', message, param: 'url' }
    if (seen.has(id))
      return { code: 'duplicate_custom_id', message: 'custom_id: an earlier line has the same.', param: 'custom_id' }
    seen.add(id)
    return null
  } catch (error) {
    if (!(error instanceof HttpError)) throw error
    const code = error.param === null ? 'invalid_json_line' : 'invalid_request'
    return { code, message: error.message.replace('The body', 'The line'), param: error.param }
  }
}

function urlFault(url: string): string | null {
  return isBatchEndpoint(url) ? null : `url: must be one of ${batchEndpoints.join(', ')}.`
}

function isBatchEndpoint(url: string): boolean {
  return batchEndpoints.some((endpoint) => endpoint === url)
}

/** Where a line that was found good goes to. */
export function pathOfLine({ bytes }: InputLine): string {
  return textOf(membersOf(bytes).get('url'))
}

/** A line that was found good. */
export function toRequestLine({ number, bytes }: InputLine): RequestLine {
  const members = membersOf(bytes)
  return { number, customId: textOf(members.get('custom_id')), body: members.get('body')?.text ?? '{}' }
}

function membersOf(bytes: Buffer | null): ReadonlyMap<string, JsonSource> {
  return new JsonSource(new TextDecoder().decode(bytes ?? Buffer.alloc(0))).members()
}

/** Empty where it is none. */
function textOf(source: JsonSource | undefined): string {
  const value: unknown = source === undefined ? '' : JSON.parse(source.text)
  return typeof value === 'string' ? value : ''
}
