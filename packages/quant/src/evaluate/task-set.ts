import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type ChatMessage, InvalidConfigError, type ToolDefinition } from '@octavo/core'
import { z } from 'zod'

/** How an answer is judged. */
export type Metric = 'exact' | 'f1' | 'json'

/** A question and what is a right answer to it. */
export interface TaskItem {
  readonly messages: readonly ChatMessage[]
  readonly tools?: readonly ToolDefinition[] | undefined
  /** Text, or for `json` any value of JSON. */
  readonly answer: unknown
  readonly metric: Metric
}

export interface TaskSet {
  /** The file's name without its end. */
  readonly name: string
  readonly items: readonly TaskItem[]
}

const message = z.looseObject({ role: z.string().min(1), content: z.unknown().optional() })
const tool = z.looseObject({ type: z.string(), function: z.looseObject({ name: z.string() }) })
const itemSchema = z
  .strictObject({
    messages: z.array(message).min(1).optional(),
    /** One question, in place of messages. */
    prompt: z.string().min(1).optional(),
    tools: z.array(tool).optional(),
    answer: z.unknown().optional(),
    metric: z.enum(['exact', 'f1', 'json']).default('exact'),
  })
  .superRefine(({ messages, prompt, answer, metric }, context) => {
    const fail = (text: string): void => context.addIssue({ code: 'custom', message: text })
    if ((messages === undefined) === (prompt === undefined)) fail('needs either messages or prompt')
    if (answer === undefined) fail('needs an answer')
    else if (metric !== 'json' && typeof answer !== 'string') fail(`answer must be a text for the metric ${metric}`)
  })

/**
 * A JSONL file of `{ messages | prompt, tools?, answer, metric? }`, a line per item; `metric` is exact where it is left out.
 * @throws InvalidConfigError naming file, line and what is wrong with it
 */
export function readTaskSet(file: string): TaskSet {
  const items = readLines(file).flatMap((line, i) => (line.trim() === '' ? [] : [parseItem(line, `${file}:${i + 1}`)]))
  if (items.length === 0) throw new InvalidConfigError('data', `${file} has no items`)
  return { name: basename(file).replace(/\.jsonl?$/, ''), items }
}

/** Files of one name are one set. @throws InvalidConfigError */
export function readTaskSets(files: readonly string[], maxItems: number | null): TaskSet[] {
  const sets = Map.groupBy(files.map(readTaskSet), ({ name }) => name)
  return [...sets].map(([name, parts]) => ({
    name,
    items: parts.flatMap(({ items }) => items).slice(0, maxItems ?? Infinity),
  }))
}

function parseItem(line: string, place: string): TaskItem {
  const result = itemSchema.safeParse(parseJson(line, place))
  if (!result.success) {
    const [issue] = result.error.issues
    const field = issue?.path.join('.') ?? ''
    throw new InvalidConfigError('data', `${place}: ${field === '' ? '' : `${field}: `}${issue?.message}`)
  }
  const { messages, prompt, tools, answer, metric } = result.data
  return {
    messages: (messages ?? [{ role: 'user', content: prompt }]) as ChatMessage[], // what else they have is for the template
    ...(tools && { tools: tools as readonly ToolDefinition[] }),
    answer,
    metric,
  }
}

/** Without the parser's own message, which quotes the line. */
function parseJson(line: string, place: string): unknown {
  try {
    return JSON.parse(line) as unknown
  } catch {
    throw new InvalidConfigError('data', `${place} is no JSON; each line must be one item`)
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new InvalidConfigError('data', `${file} cannot be read (${reason})`, { cause: error })
  }
}
