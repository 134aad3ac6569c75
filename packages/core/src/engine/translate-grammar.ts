import { asContent } from '../chat-format/after-reasoning.ts'
import type { ChatFormat } from '../chat-format/chat-format.ts'
import { toolCallFormat } from '../chat-format/tool-call-format.ts'
import type { ToolChoice } from '../chat-format/tool-choice.ts'
import { InvalidRequestError } from '../errors.ts'
import { eitherFormat } from '../structured-output/either-format.ts'
import { resolveStructuredOutput } from '../structured-output/resolve-structured-output.ts'
import type { StructuredOutput } from '../structured-output/structured-output.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import { isForced, type OfferedTools } from './offered-tools.ts'

/** What an output must be, as plain data. */
export interface GrammarInput {
  readonly structured: StructuredOutput | null
  /** Of a chat. */
  readonly format: ChatFormat | null
  readonly offered: OfferedTools | null
  readonly parallel: boolean
}

/** Characters of a whole grammar; a schema's own has a lower limit. */
const maxGrammarLength = 2_000_000

/**
 * A grammar of what follows the reasoning, as the JSON text of a `TagFormat`; `null`: anything. What a user sends may
 * take a second, so it runs in a thread of its own.
 * @throws InvalidRequestError
 */
export function translateGrammar(input: GrammarInput): string | null {
  const grammar = answerFormat(input)
  if (grammar === null) return null
  const text = JSON.stringify(grammar)
  if (text.length <= maxGrammarLength) return text
  throw new InvalidRequestError(
    [
      { field: 'structuredOutput' },
      ` and `,
      { field: 'tools' },
      ` make a grammar of ${text.length} characters; at most ${maxGrammarLength} are allowed. Make them smaller, or fewer.`,
    ],
    'structuredOutput',
  )
}

/** An answer that must be of a kind may still be a call of a tool. */
function answerFormat({ structured: wanted, format, offered, parallel }: GrammarInput): TagFormat | null {
  const structured = wanted === null ? null : resolveStructuredOutput(wanted)
  if (format === null) return structured
  const content = structured && asContent(format, structured)
  if (offered === null) return content
  const { tools, choice } = offered
  if (content === null || isForced(choice)) return toolCallFormat(format, { tools, choice, parallel })
  const mayCall = typeof choice === 'object' && 'allowed' in choice ? choice.allowed : null
  const forced: ToolChoice = mayCall === null ? 'required' : { allowed: mayCall, mode: 'required' }
  const calls = toolCallFormat(format, { tools, choice: forced, parallel })
  return calls === null ? content : eitherFormat(content, calls)
}
