import { readFileSync } from 'node:fs'
import { createChatTemplate, type ChatTemplate } from '../tokenizer/chat-template.ts'
import type { ChatMessage, ToolDefinition } from '../tokenizer/chat-message.ts'
import { deriveChatFormat } from './derive-chat-format.ts'
import type { ChatFormat } from './chat-format.ts'

/** A model family: its template, and what a model of it writes. */
export interface Family {
  readonly name: string
  readonly template: ChatTemplate
  readonly format: ChatFormat
  readonly stopTokens: readonly string[]
  readonly isOverride: boolean
  readonly special: RegExp
  readonly dropsContent: boolean
}

export interface TestCall {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly id: string
}

export interface Turn {
  readonly reasoning?: string
  readonly content: string
  readonly calls: readonly TestCall[]
}

const fixtures = new URL('../../../../fixtures/', import.meta.url)
const readText = (path: string): string => readFileSync(new URL(path, fixtures), 'utf8')

interface Golden {
  readonly templates: readonly { readonly name: string; readonly template: string }[]
}

const golden = JSON.parse(readText('chat-templates/golden.json')) as Golden
const tiny = new URL('../../models/octavo-tiny/tokenizer_config.json', import.meta.url)

const goldenSource = (name: string): string => golden.templates.find((template) => template.name === name)!.template
const ownSource = (name: string): string => readText(`chat-formats/${name}.jinja`)
const tinySource = (JSON.parse(readFileSync(tiny, 'utf8')) as { chat_template: string }).chat_template

interface Entry {
  readonly stop: string
  readonly source?: string
  readonly isOverride?: boolean
  readonly special?: RegExp
  /** The template drops content beside calls, or thinks before it. */
  readonly dropsContent?: boolean
}

const angled = /<\|[^|]*\|>/u
const bracketed = /\[\/?[A-Z_]+\]/u

/** All families, by the names that docs/tools.md uses. */
const entries: Readonly<Record<string, Entry>> = {
  'octavo-tiny': { stop: '<|im_end|>', source: tinySource },
  'qwen2.5': { stop: '<|im_end|>', source: goldenSource('qwen-tools') },
  qwen3: { stop: '<|im_end|>', source: goldenSource('qwen3-thinking') },
  'qwen3-coder': { stop: '<|im_end|>' },
  'llama-3.1': { dropsContent: true, stop: '<|eot_id|>', source: goldenSource('llama3.1-tools') },
  'llama-4': { dropsContent: true, stop: '<|eot|>', isOverride: true },
  'mistral-v3': { dropsContent: true, stop: '</s>', source: goldenSource('mistral-tools'), special: bracketed },
  'mistral-v11': { stop: '</s>', special: bracketed },
  'mistral-v13': { stop: '</s>', special: bracketed },
  'granite-3': { dropsContent: true, stop: '<|end_of_text|>', isOverride: true },
  'granite-4': { stop: '<|end_of_text|>' },
  'command-r7b': { dropsContent: true, stop: '<|END_OF_TURN_TOKEN|>' },
  'functionary-v3.1': { stop: '<|eom_id|>' },
  'deepseek-r1': { stop: '<｜end▁of▁sentence｜>', special: /<｜[^｜]*｜>/u },
  'deepseek-v3.1': { stop: '<｜end▁of▁sentence｜>', special: /<｜[^｜]*｜>/u },
  'deepseek-v3.2': { stop: '<｜end▁of▁sentence｜>', special: /<\/?｜[^｜]*｜>/u },
  'glm-4.5': { stop: '<|observation|>' },
  'kimi-k2': { stop: '<|im_end|>' },
  'kimi-k2-thinking': { stop: '<|im_end|>' },
  'minimax-m2': { stop: '[e~[', special: /<\/?minimax:tool_call>/u },
  'phi-4-mini': { stop: '<|end|>' },
  'nemotron-nano-v2': { dropsContent: true, stop: '<SPECIAL_12>' },
  'seed-oss': { stop: '<seed:eos>', special: /<\/?seed:\w+>/u },
  smollm3: { stop: '<|im_end|>', isOverride: true },
  lfm2: { stop: '<|im_end|>', isOverride: true },
  'hunyuan-a13b': { stop: '<|eos|>' },
  'internlm2.5': { stop: '<|im_end|>' },
  apertus: { stop: '<|assistant_end|>' },
  'apriel-1.5': { stop: '<|end|>' },
  'solar-open': { dropsContent: true, stop: '<|calls|>' },
  'gigachat-3': { stop: '<|message_sep|>' },
  'gpt-oss': { stop: '<|call|>', isOverride: true },
}

export const families: readonly Family[] = Object.entries(entries).map(([name, entry]) => {
  const { stop, source = ownSource(name), isOverride = false, special = angled, dropsContent = false } = entry
  const tokens = { bosToken: '<s>', eosToken: stop, padToken: null, unkToken: null }
  const template = createChatTemplate(source, tokens)
  const format = deriveChatFormat(template, { stopTokens: [stop] })
  return { name, template, format, stopTokens: [stop], isOverride, special, dropsContent }
})

const user: ChatMessage = { role: 'user', content: 'Hello.' }

/** What the model of a family writes, and the end of the prompt that it writes after. */
export interface Written {
  readonly promptTail: string
  readonly text: string
}

/** Overrides whose templates do not write calls back the way models write them. */
const handWritten: Readonly<Record<string, (turn: Turn) => string>> = {
  'llama-4': ({ calls }) => `[${calls.map(pythonicCall).join(', ')}]`,
  lfm2: ({ content, calls }) => `${content}<|tool_call_start|>[${calls.map(pythonicCall).join(', ')}]<|tool_call_end|>`,
  'granite-3': ({ calls }) => `<|tool_call|>[${calls.map(jsonCall).join(', ')}]`,
  smollm3: ({ reasoning, content, calls }) =>
    `<think>\n${reasoning}\n</think>\n${content}${calls
      .map((call) => `\n<tool_call>\n${jsonCall(call)}\n</tool_call>`)
      .join('')}`,
  'gpt-oss': ({ reasoning, content, calls }) =>
    [
      `<|channel|>analysis<|message|>${reasoning}<|end|>`,
      ...(content === '' ? [] : [`<|channel|>commentary<|message|>${content}<|end|>`]),
      ...calls.map(({ name, arguments: args }, i) =>
        i % 2 === 0
          ? `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${JSON.stringify(args)}`
          : ` to=functions.${name}<|channel|>commentary json<|message|>${JSON.stringify(args)}`,
      ),
    ].join('<|start|>assistant'),
}

function jsonCall({ name, arguments: args }: TestCall): string {
  return `{"name": ${JSON.stringify(name)}, "arguments": ${JSON.stringify(args)}}`
}

function pythonicCall({ name, arguments: args }: TestCall): string {
  return `${name}(${Object.entries(args)
    .map(([key, value]) => `${key}=${pythonic(value)}`)
    .join(', ')})`
}

function pythonic(value: unknown): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (Array.isArray(value)) return `[${value.map(pythonic).join(', ')}]`
  if (typeof value !== 'object') return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([key, member]) => `${JSON.stringify(key)}: ${pythonic(member)}`)
    .join(', ')}}`
}

export function write(family: Family, turn: Turn, tools: readonly ToolDefinition[]): Written {
  const prompt = family.template.render({ messages: [user], tools, addGenerationPrompt: true })
  const byHand = handWritten[family.name]
  if (byHand !== undefined) return { promptTail: prompt, text: byHand(turn) }
  const { reasoning, content, calls } = turn
  const answer: ChatMessage = {
    role: 'assistant',
    content,
    ...(reasoning !== undefined && { reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, arguments: args }) => ({
        id,
        type: 'function' as const,
        function: { name, arguments: JSON.stringify(args) },
      })),
    }),
  }
  const whole = family.template.render({ messages: [user, answer], tools, addGenerationPrompt: false })
  let length = 0
  while (length < prompt.length && prompt[length] === whole[length]) length++
  // Where a prompt ends with thinking that the answer has not, the tag in which they differ is the answer's.
  if (length < prompt.length) length -= /(?:<[^<>]*)?$/u.exec(whole.slice(0, length))![0].length
  let text = whole.slice(length).trimEnd()
  for (const stop of family.stopTokens) while (text.endsWith(stop)) text = text.slice(0, -stop.length)
  return { promptTail: prompt.slice(0, length), text }
}

/** A text in pieces, special tokens each in one. */
export function tokensOf(text: string, special: RegExp): { readonly text: string; readonly isSpecial: boolean }[] {
  const source = new RegExp(`(${special.source})`, 'u')
  const pieces: { text: string; isSpecial: boolean }[] = []
  for (const part of text.split(new RegExp(source, 'gu')))
    if (part !== '') pieces.push({ text: part, isSpecial: source.test(part) && part.replace(source, '') === '' })
  return pieces
}
