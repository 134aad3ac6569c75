import { InvalidRequestError } from '../errors.ts'
import type { Tag, TagFormat } from '../structured-output/structural-tag.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { beginOfCall, endOfCall, isBareCall } from './call-frame.ts'
import { callTag } from './call-tag.ts'
import type { ChatFormat, ToolCallSyntax } from './chat-format.ts'
import { joinFormats, tagOf } from './join-formats.ts'
import type { ToolChoice } from './tool-choice.ts'
import { wordsOf } from './words-of.ts'

export interface ToolCallFormatOptions {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
  /** More than one call may be made. */
  readonly parallel: boolean
}

/**
 * What a model may write after its reasoning; null = anything (`none`, and `auto` without a strict tool). `required` and
 * a name force calls; `auto` leaves text free and holds calls to their schemas where their tool is `strict`, and to the
 * names where only some are allowed.
 * @throws InvalidRequestError where the model has no tool calls, a named tool is not among the tools, or a schema cannot
 * be held (`schemaToGrammar`)
 */
export function toolCallFormat(format: ChatFormat, options: ToolCallFormatOptions): TagFormat | null {
  const { choice, parallel } = options
  if (choice === 'none') return null
  const tools = chosenTools(options)
  const isForced =
    choice === 'required' || (typeof choice === 'object' && ('name' in choice || choice.mode === 'required'))
  const isHeld = isForced || typeof choice === 'object' || tools.some(isStrict)
  const syntax = format.toolCalls
  if (!isHeld || (syntax === null && !isForced)) return null
  if (syntax === null) {
    const why = format.whyNoToolCalls ?? 'The model has no tool calls.'
    throw new InvalidRequestError(
      [{ field: 'toolChoice' }, ` cannot be held: ${why} Use "auto" or "none".`],
      'toolChoice',
    )
  }
  const isOne = !parallel || syntax.separator === null || (typeof choice === 'object' && 'name' in choice)
  // Without a choice only strict tools are held to their schemas, as OpenAI does.
  const tags = tools.map((tool) => callTag(syntax, tool, isForced || isStrict(tool)))
  return isForced ? forcedCalls(syntax, tags, isOne) : freeText(format.content, { syntax, tags, isOne })
}

function isStrict(tool: ToolDefinition): boolean {
  return tool.function.strict === true
}

function chosenTools({ tools, choice }: ToolCallFormatOptions): readonly ToolDefinition[] {
  if (typeof choice === 'string') return tools
  const names = 'name' in choice ? [choice.name] : choice.allowed
  const missing = names.find((name) => !tools.some((tool) => tool.function.name === name))
  if (missing !== undefined || names.length === 0) {
    const known = tools.map((tool) => JSON.stringify(tool.function.name)).join(', ')
    const what =
      missing === undefined
        ? 'names no tool'
        : `names the tool ${JSON.stringify(missing)}, which is not among the tools`
    throw new InvalidRequestError(
      [{ field: 'toolChoice' }, ` ${what}; the request has ${known === '' ? 'none' : known}.`],
      'toolChoice',
    )
  }
  return tools.filter((tool) => names.includes(tool.function.name))
}

function forcedCalls(syntax: ToolCallSyntax, tags: readonly Tag[], isOne: boolean): TagFormat {
  if (!isOne) return callList(syntax, tags)
  return joinFormats([syntax.begin, anyOf(tags), syntax.end])
}

function anyOf(tags: readonly Tag[]): TagFormat {
  return tags.length === 1 ? tags[0]! : { type: 'or', elements: tags }
}

/**
 * Calls with the separator between them. What all calls begin and end with is made part of the separator and of what is
 * around the list: the library takes no empty separator, and wants to know how a list ends.
 */
function callList({ begin, end, separator, call }: ToolCallSyntax, tags: readonly Tag[]): TagFormat {
  const [head, tail] = [beginOfCall(call), endOfCall(call)]
  const list: TagFormat = {
    type: 'tags_with_separator',
    tags: tags.map((tag) => ({
      ...tag,
      begin: tag.begin.slice(head.length),
      end: tag.end.slice(0, tag.end.length - tail.length),
    })),
    separator: `${tail}${separator ?? ''}${head}`,
    at_least_one: true,
  }
  const [first, last] = [begin + head, tail + end]
  return last === '' ? joinFormats([first, list]) : { type: 'tag', begin: first, content: list, end: last }
}

interface FreeText {
  readonly syntax: ToolCallSyntax
  readonly tags: readonly Tag[]
  readonly isOne: boolean
}

/** Text in which a call, once begun, is one of the tools'. */
function freeText(content: ChatFormat['content'], { syntax, tags, isOne }: FreeText): TagFormat {
  // Special tokens come only where a grammar names them: an answer between such is the one, calls are the other.
  const isWrapped = content !== null && /^<[|｜]/u.test(content.begin)
  const other = isWrapped ? joinFormats([content.begin, anyText, content.end]) : otherText
  if (isWrapped || isBareCall(syntax)) return { type: 'or', elements: [forcedCalls(syntax, tags, isOne), other] }
  const [first] = wordsOf(syntax.begin)
  if (first !== undefined) {
    const calls = isOne ? null : callList(syntax, tags)
    const section = calls?.type === 'tag' ? calls : tagOf([syntax.begin, anyOf(tags), syntax.end])
    return { type: 'triggered_tags', triggers: [first], tags: [section], stop_after_first: true }
  }
  const [word] = wordsOf(beginOfCall(syntax.call))
  return { type: 'triggered_tags', triggers: [word!], tags, stop_after_first: isOne }
}

/** Without the character that stands before a special token in grammars (`specialMark`). */
const anyText: TagFormat = { type: 'grammar', grammar: String.raw`root ::= [^\x00\x1e]*` + '\n' }
/** A text that does not begin like a call without markup: only a whole answer is one. */
const otherText: TagFormat = {
  type: 'grammar',
  grammar: String.raw`root ::= "" | [^\x00\x1e\[{ \t\r\n] [^\x00\x1e]*` + '\n',
}
