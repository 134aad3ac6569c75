import { describe, expect, it } from 'vitest'
import type { ChatFormat } from '../chat-format/chat-format.ts'
import { hermes as hermesOverride } from '../chat-format/overrides/hermes.ts'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import type { PromptInput } from './engine-client.ts'
import { type OutputPlan, planOutput, thinkingTexts } from './output-plan.ts'
import { translateGrammar } from './translate-grammar.ts'

const thinking = { begin: '<think>', afterBegin: '\n', beforeEnd: '\n', end: '</think>', afterEnd: '\n\n' }
const hermes: ChatFormat = { ...hermesOverride.format, whyNoToolCalls: null }
const thinker = { ...hermes, reasoning: thinking }
const tools: ToolDefinition[] = [{ type: 'function', function: { name: 'f' } }]
const callText = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
const paramsOf = (input: SamplingParamsInput) =>
  resolveSamplingParams({ maxTokens: null, ...input }, { vocabSize: 100, maxLogprobs: 5 })
const choice = { structuredOutput: { type: 'choice', choices: ['yes'] } } as const

type ChatPrompt = Extract<PromptInput, { type: 'chat' }>

function plan(
  prompt: Partial<ChatPrompt>,
  {
    format = hermes,
    params = {},
    promptText = '',
  }: { format?: ChatFormat; params?: SamplingParamsInput; promptText?: string } = {},
) {
  const options = { prompt: { type: 'chat', messages: [], ...prompt } as const, promptText, format }
  const output = planOutput({ ...options, params: paramsOf(params) })
  return { messages: output.messages, grammar: grammarOf(output) }
}

function grammarOf({ grammarInput, afterThinking }: OutputPlan): TagFormat | null {
  const grammar = grammarInput === null ? null : translateGrammar(grammarInput)
  return grammar === null ? null : (JSON.parse(afterThinking(grammar)) as TagFormat)
}

describe('what an output must be', () => {
  it('is nothing where nothing is asked for', () => {
    expect(plan({})).toEqual({ messages: 'none', grammar: null })
    expect(plan({ tools }).grammar).toBeNull()
    expect(plan({ tools, toolChoice: 'none' }).grammar).toBeNull()
  })

  it('is the same for prompts that are no chats', () => {
    const options = { promptText: 'a', format: null, params: paramsOf(choice) }
    const chat = plan({}, { params: choice })
    const text = planOutput({ ...options, prompt: { type: 'text', text: 'a' } })
    expect(text.messages).toBe('none')
    expect(grammarOf(text)).toEqual(chat.grammar)
  })

  it('may be a call as well where tools are offered, and is one where one must be made', () => {
    const free = plan({ tools }, { params: choice }).grammar
    expect(free?.type).toBe('or')
    const forced = plan({ tools, toolChoice: 'required' }, { params: choice }).grammar
    expect(forced).toEqual(plan({ tools, toolChoice: 'required' }).grammar)
    expect(plan({ tools, toolChoice: 'none' }, { params: choice }).grammar).toEqual(
      plan({}, { params: choice }).grammar,
    )
  })

  it('comes after the thinking', () => {
    const open = plan({}, { format: thinker, params: choice, promptText: 'a<think>\n' }).grammar
    expect(open).toMatchObject({
      type: 'sequence',
      elements: [{ type: 'tag', begin: '', content: { type: 'any_text' }, end: '</think>' }, {}, {}],
    })
    const over = plan({}, { format: thinker, params: choice, promptText: '<think>\n\n</think>\n\n' }).grammar
    expect(over).toEqual(plan({}, { params: choice }).grammar)
  })
})

describe('messages', () => {
  const read = (prompt: Partial<ChatPrompt>, text: string, format = hermes) => {
    const { messages } = plan({ parseOutput: true, ...prompt }, { format, promptText: 'a' })
    if (typeof messages === 'string') return messages
    const parser = messages()
    parser.push(text, false)
    parser.finish()
    return parser.take()
  }

  it('are plain where there is nothing to find in the text', () => {
    expect(read({}, callText)).toBe('plain')
    expect(read({ tools, toolChoice: 'none' }, callText)).toBe('plain')
    expect(plan({ tools, parseOutput: true }, { params: { detokenize: false } }).messages).toBe('plain')
  })

  it('have calls of the tools, or the first of them alone', () => {
    const two = `${callText}\n${callText}`
    expect(read({ tools }, two)).toMatchObject({ content: '', toolCalls: [{ index: 0 }, { index: 1 }] })
    expect(read({ tools, parallelToolCalls: false }, two)).toMatchObject({ content: '', toolCalls: [{ index: 0 }] })
  })

  it('have reasoning without tools too, and then no calls', () => {
    const text = `<think>\nso\n</think>\n\n${callText}`
    expect(read({}, text, thinker)).toEqual({ reasoning: 'so', content: callText, toolCalls: [] })
    expect(read({ tools }, text, thinker)).toMatchObject({ reasoning: 'so', content: '', toolCalls: [{ name: 'f' }] })
  })
})

describe('a limit to thinking', () => {
  const textsOf = (params: SamplingParamsInput, format: ChatFormat | null, promptText = '') =>
    thinkingTexts({ prompt: { type: 'chat', messages: [] }, promptText, format, params: paramsOf(params) })

  it('has the texts that open and end it', () => {
    expect(textsOf({}, thinker)).toBeNull()
    expect(textsOf({ thinkingTokenBudget: -1 }, hermes)).toBeNull()
    expect(textsOf({ thinkingTokenBudget: 5 }, thinker)).toEqual({
      maxTokens: 5,
      start: '<think>',
      end: '\n</think>\n\n',
      isOpen: false,
    })
    expect(textsOf({ thinkingTokenBudget: 0 }, thinker, 'a<think>\n')).toMatchObject({ maxTokens: 0, isOpen: true })
  })

  it('is refused where no thinking is marked', () => {
    expect(() => textsOf({ thinkingTokenBudget: 5 }, hermes)).toThrow(/^thinkingTokenBudget needs a model whose chat/)
    expect(() => textsOf({ thinkingTokenBudget: 5 }, null)).toThrow(/^thinkingTokenBudget needs a chat/)
  })
})
