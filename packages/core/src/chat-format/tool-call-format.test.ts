import type { CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from '@mlc-ai/web-xgrammar'
import { beforeAll, describe, expect, it } from 'vitest'
import { InvalidRequestError } from '../errors.ts'
import { loadXGrammar, type XGrammar } from '../structured-output/load-xgrammar.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { afterReasoning, asContent } from './after-reasoning.ts'
import type { ChatFormat } from './chat-format.ts'
import { families, type Family, type TestCall, write } from './families.case.ts'
import { mergeDeltas } from './merge-deltas.case.ts'
import { createOutputParser } from './output-parser.ts'
import { createRandom } from './random-calls.case.ts'
import type { ToolChoice } from './tool-choice.ts'
import { toolCallFormat } from './tool-call-format.ts'

const weather: ToolDefinition = {
  type: 'function',
  function: {
    name: 'get_weather',
    strict: true,
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        unit: { type: 'string', enum: ['celsius', 'kelvin'] },
        where: {
          type: 'object',
          properties: { lat: { type: 'number' } },
          required: ['lat'],
          additionalProperties: false,
        },
        isDry: { type: 'boolean' },
      },
      required: ['city', 'days'],
      additionalProperties: false,
    },
  },
}
const now: ToolDefinition = {
  type: 'function',
  function: { name: 'now', parameters: { type: 'object', properties: {}, additionalProperties: false } },
}
const tools = [weather, now]
const weatherCall: TestCall = {
  name: 'get_weather',
  arguments: { city: 'Zürich "x" <b>', days: 2, unit: 'kelvin', where: { lat: 1.5 }, isDry: true },
  id: 'abcdefgh0',
}
const shortCall: TestCall = { ...weatherCall, arguments: { city: '', days: -1 } }
const nowCall: TestCall = { name: 'now', arguments: {}, id: 'abcdefgh1' }

let library: XGrammar
let info: TokenizerInfo
let compiler: GrammarCompiler
const stop = 0

beforeAll(async () => {
  const { log, info: inform, warn, error, debug, trace } = console
  library = await loadXGrammar(() => undefined, 2 ** 30)
  Object.assign(console, { log, info: inform, warn, error, debug, trace })
  const bytes = [new TextEncoder().encode('</s>'), ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))]
  const tokens = bytes as unknown as string[]
  info = await library.TokenizerInfo.createTokenizerInfo(tokens, 'raw', false, tokens.length, [stop])
  compiler = await library.GrammarCompiler.createGrammarCompiler(info, false)
})

const compiled = new Map<string, CompiledGrammar>()

/** A grammar over single bytes: token 0 ends, token i + 1 is byte i. */
async function createMatcher(tag: TagFormat): Promise<GrammarMatcher> {
  const text = JSON.stringify({ type: 'structural_tag', format: tag })
  const grammar = compiled.get(text) ?? (await compiler.compileStructuralTag(text))
  compiled.set(text, grammar)
  grammar.tokenizerInfo = () => info
  return library.GrammarMatcher.createGrammarMatcher(grammar)
}

const take = (matcher: GrammarMatcher, text: string): boolean =>
  [...new TextEncoder().encode(text)].every((byte) => matcher.acceptToken(byte + 1))

/** Whether a text is one that the grammar allows from beginning to end. */
async function accepts(tag: TagFormat, text: string): Promise<boolean> {
  const matcher = await createMatcher(tag)
  const isAccepted = take(matcher, text) && matcher.acceptToken(stop)
  matcher.dispose()
  return isAccepted
}

const ends = ['</parameter>', '</arg_value>', '"', '}', ']']

/** A text by a grammar: what is allowed is drawn, and what ends free text and lists more often than all else. */
async function draw(tag: TagFormat, random: () => number): Promise<string | null> {
  const matcher = await createMatcher(tag)
  const bytes: number[] = []
  const queue: number[] = []
  while (bytes.length < 600 && !matcher.isTerminated()) {
    const mask = await matcher.getNextTokenBitmask()
    const isAllowed = (id: number): boolean => ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1
    if (isAllowed(stop) && random() < 0.7) {
      matcher.acceptToken(stop)
      break
    }
    if (queue.length === 0) {
      // The library takes a token that is a zero byte for an empty one.
      const allowed = Array.from({ length: 255 }, (_, i) => i + 1).filter((byte) => isAllowed(byte + 1))
      if (allowed.length === 0) break
      if (allowed.length > 8 && random() < 0.4) queue.push(...new TextEncoder().encode(pick(ends, random)))
      else queue.push(pick(allowed, random)!)
    }
    const byte = queue.shift()!
    if (matcher.acceptToken(byte + 1)) bytes.push(byte)
    else queue.length = 0
  }
  const isOver = matcher.isTerminated()
  matcher.dispose()
  return isOver ? new TextDecoder().decode(Uint8Array.from(bytes)) : null
}

const pick = <T>(items: readonly T[], random: () => number): T | undefined => items[Math.floor(random() * items.length)]

function parse(family: Family, text: string, promptTail = '') {
  const parser = createOutputParser(family.format, { tools, promptTail })
  parser.push(text, false)
  parser.finish()
  return mergeDeltas([parser.take()])
}

const required = (family: Family, choice: ToolChoice = 'required'): TagFormat =>
  toolCallFormat(family.format, { tools, choice, parallel: true })!

/** What the family writes for calls alone. */
function written(family: Family, calls: readonly TestCall[]): string {
  const hasNameInId = family.format.toolCalls!.call.type === 'named' && family.format.toolCalls!.call.hasNameInId
  const withIds = calls.map((call, i) => (hasNameInId ? { ...call, id: `functions.${call.name}:${i}` } : call))
  const { text } = write(family, { content: '', calls: withIds }, tools)
  const { reasoning, content } = family.format
  const end = reasoning === null ? -1 : text.indexOf(reasoning.end)
  let rest = text.slice(end === -1 ? 0 : end + reasoning!.end.length).replace(/^<\|start\|>assistant/u, '')
  if (content !== null && rest.trimStart().startsWith(content.begin))
    rest = rest.trimStart().slice(content.begin.length)
  rest = rest.trim()
  return content !== null && content.end !== '' && rest.endsWith(content.end)
    ? rest.slice(0, -content.end.length).trim()
    : rest
}

/** Texts that templates write with Python's words for JSON's. */
const isJsonText = (family: Family): boolean => !['llama-4', 'lfm2', 'seed-oss', 'qwen3-coder'].includes(family.name)

describe.each(families)('$name', (family) => {
  const { toolCalls } = family.format
  const canTwo = toolCalls!.separator !== null

  it('takes what the template writes', async () => {
    const calls = isJsonText(family) ? [weatherCall, shortCall, nowCall] : [shortCall, nowCall]
    for (const call of calls)
      expect(await accepts(required(family), written(family, [call])), written(family, [call])).toBe(true)
    if (!canTwo) return
    const two = written(family, [shortCall, nowCall])
    expect(await accepts(required(family), two), two).toBe(true)
    const one = toolCallFormat(family.format, { tools, choice: 'required', parallel: false })!
    expect(await accepts(one, two)).toBe(false)
  })

  it('takes no text, no other tool and no wrong arguments', async () => {
    for (const wrong of [
      [{ ...nowCall, name: 'later' }],
      [{ ...weatherCall, arguments: { days: 1 } }],
      [{ ...weatherCall, arguments: { city: 'x', days: 'two' } }],
      [{ ...weatherCall, arguments: { city: 'x', days: 2, unit: 'fahrenheit' } }],
    ]) {
      const text = written(family, wrong)
      expect(await accepts(required(family), text), text).toBe(false)
    }
    expect(await accepts(required(family), 'Hello.')).toBe(false)
    expect(await accepts(required(family, { name: 'now' }), written(family, [shortCall]))).toBe(false)
    expect(await accepts(required(family, { name: 'now' }), written(family, [nowCall]))).toBe(true)
  })

  it('allows only what the parser reads', async () => {
    const random = createRandom(7)
    let numDrawn = 0
    for (let i = 0; i < 12 && numDrawn < 3; i++) {
      const text = await draw(required(family), random)
      if (text === null) continue
      numDrawn++
      const { content, toolCalls: calls } = parse(family, text)
      expect(content.trim(), text).toBe('')
      expect(calls.length, text).toBeGreaterThan(0)
      for (const { name, arguments: args } of calls) {
        expect(['get_weather', 'now'], text).toContain(name)
        const value = JSON.parse(args) as Record<string, unknown>
        if (name === 'now') expect(value).toEqual({})
        else {
          expect(Number.isInteger(value['days']), text).toBe(true)
          expect(typeof value['city'], text).toBe('string')
        }
      }
    }
    expect(numDrawn).toBeGreaterThan(0)
  })

  it('leaves text free around strict calls', async () => {
    const tag = toolCallFormat(family.format, { tools, choice: 'auto', parallel: true })!
    const { content } = family.format
    const text = content === null ? 'Hello, no call.' : `${content.begin}Hello, no call.${content.end}`
    expect(await accepts(tag, text)).toBe(true)
    const call = written(family, [shortCall])
    expect(await accepts(tag, call), call).toBe(true)
    const wrong = written(family, [{ ...weatherCall, arguments: { city: 'x', days: 'two' } }])
    expect(await accepts(tag, wrong), wrong).toBe(false)
  })

  it('begins after the thinking', async () => {
    const { format } = family
    if (format.reasoning === null) return
    const { begin, end, afterEnd } = format.reasoning
    const inner = required(family)
    const call = written(family, [nowCall])
    expect(await accepts(afterReasoning(format, 'x', inner), `${begin}Hm.${end}${afterEnd}${call}`)).toBe(true)
    expect(await accepts(afterReasoning(format, 'x', inner), call)).toBe(true)
    expect(await accepts(afterReasoning(format, begin, inner), `Hm.${end}${afterEnd}${call}`)).toBe(true)
    expect(await accepts(afterReasoning(format, begin, inner), call)).toBe(false)
    expect(await accepts(afterReasoning(format, `${begin}${end}\n`, inner), call)).toBe(true)
    expect(
      await accepts(afterReasoning(format, `${begin}${end}\n`, inner), `${begin}Hm.${end}${afterEnd}${call}`),
    ).toBe(false)
  })
})

describe('names that share beginnings and ends', () => {
  const alike = ['abd', 'zyc', 'abc', 'ab'].map((name) => ({ ...now, function: { ...now.function, name } }))

  it.each(families)('are told apart by $name', async (family) => {
    for (const choice of ['required', { allowed: alike.map((tool) => tool.function.name), mode: 'auto' }] as const) {
      for (const parallel of choice === 'required' ? [true, false] : [true]) {
        const tag = toolCallFormat(family.format, { tools: alike, choice, parallel })!
        for (const name of ['abd', 'zyc', 'abc', 'ab'])
          expect(await accepts(tag, written(family, [{ ...nowCall, name }])), name).toBe(true)
        for (const name of ['zyd', 'abcd', 'a', 'zy', 'abdc'])
          expect(await accepts(tag, written(family, [{ ...nowCall, name }])), name).toBe(false)
      }
    }
  })
})

describe('choices', () => {
  const { format } = families.find(({ name }) => name === 'qwen2.5')!
  const coder = families.find(({ name }) => name === 'qwen3-coder')!.format
  const pythonic = families.find(({ name }) => name === 'lfm2')!.format
  const toolWith = (name: string, parameters: Record<string, unknown> | null, strict = false): ToolDefinition => ({
    type: 'function',
    function: { name, parameters, strict },
  })
  const force = (of: ChatFormat, tool: ToolDefinition) =>
    toolCallFormat(of, { tools: [tool], choice: 'required', parallel: true })

  it('hold nothing without a strict tool, and nothing with none', () => {
    expect(toolCallFormat(format, { tools: [now], choice: 'auto', parallel: true })).toBeNull()
    expect(toolCallFormat(format, { tools, choice: 'none', parallel: true })).toBeNull()
    expect(toolCallFormat(format, { tools, choice: 'auto', parallel: true })).not.toBeNull()
  })

  it('leave out tools that are not allowed', async () => {
    const tag = toolCallFormat(format, { tools, choice: { allowed: ['now'], mode: 'auto' }, parallel: true })!
    const qwen = families.find(({ name }) => name === 'qwen2.5')!
    expect(await accepts(tag, written(qwen, [nowCall]))).toBe(true)
    expect(await accepts(tag, written(qwen, [shortCall]))).toBe(false)
  })

  it('hold tools without parameters to none', async () => {
    const tag = force(format, toolWith('now', null))!
    expect(await accepts(tag, '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>')).toBe(true)
    expect(await accepts(tag, '<tool_call>\n{"name": "now", "arguments": {"a": 1}}\n</tool_call>')).toBe(false)
    expect(
      await accepts(force(coder, toolWith('now', null))!, '<tool_call>\n<function=now>\n</function>\n</tool_call>'),
    ).toBe(true)
  })

  it('take any parameters where a schema names none', async () => {
    const tag = force(coder, toolWith('f', { type: 'object' }))!
    const text = '<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n</function>\n</tool_call>'
    expect(await accepts(tag, text)).toBe(true)
  })

  it.each([
    [
      'a tool that there is not',
      () => toolCallFormat(format, { tools, choice: { name: 'x' }, parallel: true }),
      /tool "x".*"get_weather", "now"/,
    ],
    [
      'no tool',
      () => toolCallFormat(format, { tools, choice: { allowed: [], mode: 'auto' }, parallel: true }),
      /names no tool/,
    ],
    [
      'a model without calls',
      () =>
        toolCallFormat(
          { ...format, toolCalls: null, whyNoToolCalls: 'It has none.' },
          { tools, choice: 'required', parallel: true },
        ),
      /It has none\./,
    ],
    ['parameters that are no object', () => force(format, toolWith('f', { type: 'string' })), /"f".*"string"/],
    [
      'a schema that cannot be held',
      () => force(format, toolWith('f', { type: 'object', properties: { a: { type: 'strin' } } })),
      /"f" whose parameters cannot be held.*a/,
    ],
    [
      'a pattern without quotes',
      () => force(coder, toolWith('f', { type: 'object', properties: { 'a/b': { type: 'string', pattern: 'x' } } })),
      /"pattern" at "\/properties\/a~1b"/,
    ],
    [
      'a key that is no name in Python',
      () => force(pythonic, toolWith('f', { type: 'object', properties: { 'a-b': {} } })),
      /"a-b"/,
    ],
    [
      'too many optional ones in Python',
      () =>
        force(
          pythonic,
          toolWith('f', {
            type: 'object',
            properties: Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`a${i}`, {}])),
          }),
        ),
      /at most 24/,
    ],
  ] as const)('refuse %s', (_, run, message) => {
    expect(run).toThrow(InvalidRequestError)
    expect(run).toThrow(message)
  })

  it('hold answers in what stands around them', async () => {
    const command = families.find(({ name }) => name === 'command-r7b')!.format
    const tag = asContent(command, { type: 'grammar', grammar: 'root ::= "yes"\n' })
    expect(await accepts(tag, '<|START_RESPONSE|>yes<|END_RESPONSE|>')).toBe(true)
    expect(asContent(format, tag)).toBe(tag)
  })
})
