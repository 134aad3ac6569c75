import { describe, expect, it } from 'vitest'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import type { ChatFormat } from './chat-format.ts'
import { families } from './families.case.ts'
import { mergeDeltas, type ParsedMessage } from './merge-deltas.case.ts'
import { createOutputParser, type OutputParserOptions } from './output-parser.ts'
import { createRandom } from './random-calls.case.ts'

const formatOf = (name: string): ChatFormat => families.find((family) => family.name === name)!.format
const tool = (name: string, properties: Record<string, unknown> = {}): ToolDefinition => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties } },
})

/** A text as one piece, and as characters, must be the same message. */
function parse(format: ChatFormat, text: string, options: Partial<OutputParserOptions> = {}): ParsedMessage {
  const read = (pieces: readonly string[]): ParsedMessage => {
    let numIds = 0
    const createId = (): string => `id${numIds++}`
    const parser = createOutputParser(format, { tools: [], promptTail: '', createId, ...options })
    const deltas = pieces.map((piece) => {
      parser.push(piece, false)
      return parser.take()
    })
    parser.finish()
    return mergeDeltas([...deltas, parser.take()])
  }
  const whole = read([text])
  expect(read([...text].flatMap((char) => char.split('')))).toEqual(whole)
  return whole
}

const hermes = formatOf('qwen3')
const call = (args: string, name = 'f') => ({ id: 'id0', name, arguments: args })

describe('calls that a grammar forces', () => {
  const text = '<think>Now.</think>\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
  const cutAt = (length: number, areCallsForced: boolean) => parse(hermes, text.slice(0, length), { areCallsForced })

  it('are no content where they are cut off', () => {
    for (let length = 0; length <= text.length; length++) expect(cutAt(length, true).content).toBe('')
    expect(cutAt(text.length, true)).toEqual({ reasoning: 'Now.', content: '', toolCalls: [call('{"a": 1}')] })
  })

  it('are calls as far as they go', () => {
    expect(cutAt(text.indexOf('"name'), false).content).toBe('<tool_call>\n{')
    expect(cutAt(text.indexOf('": 1'), true).toolCalls).toEqual([call('{"a')])
  })
})

describe('calls in JSON', () => {
  it.each([
    [
      'before and after text',
      'Hi.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\nBye.',
      'Hi.\nBye.',
      [call('{"a": 1}')],
    ],
    [
      'as written',
      '<tool_call>{"name":"f","arguments":{ "a":1.0,"b" : 1e400}}</tool_call>',
      '',
      [call('{ "a":1.0,"b" : 1e400}')],
    ],
    [
      'arguments before the name',
      '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>',
      '',
      [call('{"a": 1}')],
    ],
    ['no arguments', '<tool_call>{"name": "f"}</tool_call>', '', [call('{}')]],
    ['null arguments', '<tool_call>{"name": "f", "arguments": null}</tool_call>', '', [call('{}')]],
    [
      'the other word for arguments',
      '<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>',
      '',
      [call('{"a": 1}')],
    ],
    [
      'arguments as a string',
      '<tool_call>{"name": "f", "arguments": "{\\"a\\": \\"\\u00fc\\\\n\\"}"}</tool_call>',
      '',
      [call('{"a": "ü\\n"}')],
    ],
    ['an empty string of arguments', '<tool_call>{"name": "f", "arguments": ""}</tool_call>', '', [call('{}')]],
    [
      'an object around it',
      '<tool_call>{"type": "function", "function": {"name": "f", "arguments": {}}}</tool_call>',
      '',
      [call('{}')],
    ],
    [
      'other members',
      '<tool_call>{"id": 7, "name": "f", "why": {"name": "x"}, "arguments": {}, "x": [1]}</tool_call>',
      '',
      [call('{}')],
    ],
    [
      'markup in strings',
      '<tool_call>{"name": "f", "arguments": {"a": "</tool_call>{}\\""}}</tool_call>',
      '',
      [call('{"a": "</tool_call>{}\\""}')],
    ],
    ['no end tag', '<tool_call>{"name": "f", "arguments": {}}', '', [call('{}')]],
    ['a cut off end tag', '<tool_call>{"name": "f", "arguments": {}}\n</tool_', '', [call('{}')]],
    ['cut off arguments', '<tool_call>{"name": "f", "arguments": {"a": "x', '', [call('{"a": "x')]],
    [
      'brackets that do not match',
      '<tool_call>{"name": "f", "arguments": {"a": [1}}}</tool_call> Sorry.',
      'Sorry.',
      [call('{"a": [1}}}')],
    ],
    ['garbage', 'A <tool_call> is {"name": "f"', 'A <tool_call> is {"name": "f"', []],
    [
      'garbage, then a call',
      '<tool_call>oops <tool_call>{"name": "f", "arguments": {}}</tool_call>',
      '<tool_call>oops',
      [call('{}')],
    ],
    [
      'an empty name',
      '<tool_call>{"name": "", "arguments": {}}</tool_call>',
      '<tool_call>{"name": "", "arguments": {}}</tool_call>',
      [],
    ],
    ['a beginning of a tag', 'x <tool', 'x <tool', []],
    ['white space in an answer', ' \n a \n', ' \n a \n', []],
  ])('%s', (_, text, content, toolCalls) => {
    expect(parse(hermes, text)).toEqual({ reasoning: '', content, toolCalls })
  })

  it('reads many', () => {
    const text = Array.from(
      { length: 50 },
      (_, i) => `<tool_call>{"name": "f${i}", "arguments": {"i": ${i}}}</tool_call>`,
    ).join('\n')
    const { content, toolCalls } = parse(hermes, text)
    expect(content).toBe('')
    expect(toolCalls.map(({ name, arguments: args }) => `${name}${args}`)).toEqual(
      Array.from({ length: 50 }, (_, i) => `f${i}{"i": ${i}}`),
    )
  })

  it('leaves calls alone where there are no tools', () => {
    const text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    expect(parse(hermes, text, { tools: null })).toEqual({ reasoning: '', content: text, toolCalls: [] })
  })

  it('without markup are the whole answer or none', () => {
    const llama = formatOf('llama-3.1')
    expect(parse(llama, '{"name": "f", "parameters": {"a": 1}}').toolCalls).toEqual([call('{"a": 1}')])
    expect(parse(llama, ' {"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}').toolCalls).toHaveLength(2)
    for (const text of [
      'See {"name": "f", "parameters": {}}',
      '{"name": "Ada", "age": 36}',
      '{"name": "Ada"}',
      '{}',
      '{"a"',
    ])
      expect(parse(llama, text)).toEqual({ reasoning: '', content: text, toolCalls: [] })
  })
})

describe('calls in tags', () => {
  const coder = formatOf('qwen3-coder')
  const tools = [
    tool('f', {
      text: { type: 'string' },
      n: { type: 'integer' },
      any: {},
      maybe: { type: ['string', 'null'] },
      either: { anyOf: [{ type: 'string' }, { type: 'object' }] },
      list: { $ref: '#/$defs/list' },
    }),
  ]
  const args = (...parameters: readonly [string, string][]): string => {
    const text = parameters.map(([key, value]) => `<parameter=${key}>\n${value}\n</parameter>\n`).join('')
    return parse(coder, `<tool_call>\n<function=f>\n${text}</function>\n</tool_call>`, { tools }).toolCalls[0]!
      .arguments
  }

  it('gives values the types of the schema', () => {
    expect(args(['text', '5'], ['n', '5'])).toBe('{"text": "5", "n": 5}')
    expect(args(['text', ' a\n"b" \n'])).toBe('{"text": " a\\n\\"b\\" \\n"}')
    expect(args(['n', 'five'])).toBe('{"n": "five"}')
    expect(args(['any', '[1]'], ['unknown', 'x'])).toBe('{"any": [1], "unknown": "x"}')
    expect(args(['maybe', 'null'], ['either', '5'])).toBe('{"maybe": null, "either": "5"}')
    expect(args(['either', '{"a": 1.0}'])).toBe('{"either": {"a": 1.0}}')
    expect(args(['n', 'True'], ['n', "[None, {'a': 'x'}]"])).toBe('{"n": true, "n": [null, {"a": "x"}]}')
    expect(args()).toBe('{}')
  })

  it('takes a function without the tag around it for text', () => {
    const text = '<function=f>\n</function>'
    expect(parse(coder, text, { tools }).content).toBe(text)
  })

  it.each([
    ['<tool_call>\n<function=f>\n<parameter=text>\nab', '{"text": "ab'],
    ['<tool_call>\n<function=f>\n<parameter=n>\n12', '{"n": 12'],
    ['<tool_call>\n<function=f>\n<parameter=n>\n12\n</parameter>\n', '{"n": 12'],
    ['<tool_call>\n<function=f>\n<parameter=n>\n12\n</parameter>\n</func', '{"n": 12'],
    ['<tool_call>\n<function=f>\n<parameter=n>\n12\n</parameter>\n<parameter=te', '{"n": 12'],
  ])('an unfinished call has the arguments so far: %j', (text, expected) => {
    expect(parse(coder, text, { tools }).toolCalls[0]?.arguments).toBe(expected)
    expect(parse(coder, text, { tools }).content).toBe('')
  })

  it('goes on with text after what is no parameter', () => {
    const { content, toolCalls } = parse(
      coder,
      '<tool_call>\n<function=f>\n<parameter=n>\n1\n</parameter>\nHm.</function></tool_call>',
      { tools },
    )
    expect(toolCalls).toEqual([call('{"n": 1}')])
    expect(content).toBe('Hm.</function></tool_call>')
  })
})

describe('reasoning', () => {
  it.each([
    ['opened by the model', '<think>\nHm.\n</think>\n\nYes.', '', 'Hm.', 'Yes.'],
    ['opened by the prompt', 'Hm.\n</think>\n\nYes.', '<|im_start|>assistant\n<think>\n', 'Hm.', 'Yes.'],
    ['over in the prompt', 'Yes.', '<think>\n\n</think>\n\n', '', 'Yes.'],
    [
      'continued',
      'more.\n</think>\nYes.',
      '<think>x</think><|im_end|>\n<|im_start|>assistant\n<think>\nHm,',
      'more.',
      'Yes.',
    ],
    ['continued after it', 'Yes.', '<|im_end|>\n<|im_start|>assistant\n<think>\nHm.\n</think>\nOh', '', 'Yes.'],
    ['in the question', 'Yes.', 'What is <think><|im_end|>\n<|im_start|>assistant\n', '', 'Yes.'],
    ['empty', '<think>\n\n</think>\n\nYes.', '', '', 'Yes.'],
    ['unfinished', '<think>Hm, ', '', 'Hm,', ''],
    ['spoken about', 'Write <think> first.</think>', '', '', 'Write <think> first.</think>'],
    [
      'with a call in it',
      '<think>I write <tool_call>{"name": "f", "arguments": {}}.</think>Yes.',
      '',
      'I write <tool_call>{"name": "f", "arguments": {}}.',
      'Yes.',
    ],
  ])('%s', (_, text, promptTail, reasoning, content) => {
    expect(parse(hermes, text, { promptTail })).toEqual({ reasoning, content, toolCalls: [] })
  })

  it('comes again after a call', () => {
    const text = '<think>A</think><tool_call>{"name": "f", "arguments": {}}</tool_call><think>B</think>C'
    expect(parse(hermes, text)).toEqual({ reasoning: 'A\nB', content: 'C', toolCalls: [call('{}')] })
  })
})

describe('special tokens', () => {
  const read = (keepSpecialTokens: boolean) => {
    const parser = createOutputParser(hermes, { tools: [], promptTail: '', keepSpecialTokens, createId: () => 'id0' })
    for (const text of [
      'A',
      '<|x|>',
      'B',
      '<tool_call>',
      '{"name": "f", "arguments": {"a": "',
      '<|x|>',
      '"}}',
      '</tool_call>',
    ])
      parser.push(text, text.startsWith('<'))
    parser.finish()
    return mergeDeltas([parser.take()])
  }

  it('are no part of the content, unless they are wanted', () => {
    expect(read(false).content).toBe('AB')
    expect(read(true).content).toBe('A<|x|>B')
    expect(read(false).toolCalls).toEqual([call('{"a": "<|x|>"}')])
  })
})

describe('a call within thinking', () => {
  const read = (isSpecial: boolean) => {
    const parser = createOutputParser(formatOf('kimi-k2-thinking'), { tools: [], promptTail: '' })
    const call = [
      '<|tool_calls_section_begin|>',
      '<|tool_call_begin|>',
      'functions.f:0',
      '<|tool_call_argument_begin|>',
      '{}',
      '<|tool_call_end|>',
    ]
    for (const text of ['<think>', 'Hm.', ...call]) parser.push(text, isSpecial && text.startsWith('<|'))
    parser.finish()
    return mergeDeltas([parser.take()])
  }

  it('ends it by its token, and is thought about as text', () => {
    expect(read(true)).toEqual({
      reasoning: 'Hm.',
      content: '',
      toolCalls: [{ id: 'functions.f:0', name: 'f', arguments: '{}' }],
    })
    expect(read(false).toolCalls).toEqual([])
    expect(read(false).reasoning).toMatch(/^Hm\..*<\|tool_call_end\|>$/)
  })
})

describe('ids', () => {
  const idOf = (name: string, text: string): string => {
    const parser = createOutputParser(formatOf(name), { tools: [], promptTail: '' })
    parser.push(text, false)
    parser.finish()
    return parser.take().toolCalls[0]!.id!
  }

  it('are random, the model’s own, or what the template takes', () => {
    expect(idOf('qwen3', '<tool_call>{"name": "f", "arguments": {}}')).toMatch(/^call_\w{24}$/)
    expect(
      idOf('kimi-k2', '<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3<|tool_call_argument_begin|>{}'),
    ).toBe('functions.f:3')
    expect(idOf('mistral-v11', '[TOOL_CALLS]f[CALL_ID]abcDEF123[ARGS]{}')).toBe('abcDEF123')
    expect(idOf('mistral-v11', '[TOOL_CALLS]f[ARGS]{}')).toMatch(/^[A-Za-z0-9]{9}$/)
    expect(idOf('mistral-v3', '[TOOL_CALLS][{"name": "f", "arguments": {}}]')).toMatch(/^[A-Za-z0-9]{9}$/)
  })
})

describe('harmony', () => {
  const gptOss = formatOf('gpt-oss')

  it.each([
    ['<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.', 'Hm.', 'Yes.', []],
    ['<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>analysis<|message|>B', 'A\nB', '', []],
    ['<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}', '', '', [call('{"a": 1}')]],
    [' to=functions.f<|channel|>commentary json<|message|>{}', '', '', [call('{}')]],
    ['<|channel|>commentary to=functions.f<|message|>', '', '', [call('{}')]],
    ['Plain text.', '', 'Plain text.', []],
    ['<|channel|>final<|message|>a < b', '', 'a < b', []],
  ])('%s', (text, reasoning, content, toolCalls) => {
    expect(parse(gptOss, text)).toEqual({ reasoning, content, toolCalls })
  })
})

describe('a harmony message that goes on', () => {
  const gptOss = formatOf('gpt-oss')
  const start = '<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>'

  it('is of the channel that the prompt opened', () => {
    const rest = 'Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.'
    expect(parse(gptOss, rest, { promptTail: `${start}analysis<|message|>` })).toMatchObject({
      reasoning: 'Hm.',
      content: 'Yes.',
    })
    expect(parse(gptOss, 'Yes.', { promptTail: `${start}final<|message|>Oh, ` })).toMatchObject({ content: 'Yes.' })
  })
})

describe('pythonic calls', () => {
  it.each([
    [
      '[f(a=1, b="x", c=[True, None], d={\'k\': (1, 2)},)]',
      '',
      [call('{"a": 1, "b": "x", "c": [true, null], "d": {"k": [1, 2]}}')],
    ],
    [
      "[f(a='it\\'s \\u00fc', b=-1.5e3, c=.5, d=1_000)]",
      '',
      [call('{"a": "it\'s ü", "b": -1.5e3, "c": 0.5, "d": 1000}')],
    ],
    ['[f(), g.h(x=1)]', '', [call('{}'), { ...call('{"x": 1}', 'g.h'), id: 'id1' }]],
    ['[f(a=1', '', [call('{"a": 1')]],
    ['[1, 2]', '[1, 2]', []],
    ['[link](http://x)', '[link](http://x)', []],
  ])('%s', (text, content, toolCalls) => {
    expect(parse(formatOf('llama-4'), text)).toEqual({ reasoning: '', content, toolCalls })
  })
})

describe.each(families)('garbage for $name', ({ format, name }) => {
  const { toolCalls, reasoning, content } = format
  const frame = JSON.stringify(toolCalls).match(/<[^<>"\\]+>|\[[A-Z_]+\]/g) ?? []
  const markup = [
    ...frame,
    reasoning?.begin ?? '',
    reasoning?.end ?? '',
    content?.begin ?? '',
    '<|channel|>',
    '<|message|>',
    '<|end|>',
  ]
  const syntax = [
    '{',
    '}',
    '[',
    ']',
    '"',
    '\\',
    ',',
    ':',
    '"name": ',
    '"arguments": ',
    '"f"',
    'f',
    '(',
    ')',
    '=',
    '\n',
    ' ',
    '1',
    'to=functions.f',
  ]
  const vocabulary = [...markup, ...markup, ...syntax, '<', 'tool']

  it('throws nothing, and is the same however it is cut', () => {
    const random = createRandom(name.length)
    for (let i = 0; i < 150; i++) {
      const length = 1 + Math.floor(random() * 30)
      const text = Array.from({ length }, () => vocabulary[Math.floor(random() * vocabulary.length)]!).join('')
      parse(format, text, { promptTail: random() < 0.3 ? (reasoning?.begin ?? '') : '' })
    }
  })

  // Harmony's headers are no text.
  it.skipIf(name === 'gpt-oss')('loses no text without a call', () => {
    const random = createRandom(name.length + 1)
    for (let i = 0; i < 100; i++) {
      const parts = Array.from({ length: 12 }, (_, n) => `w${n} ${markup[Math.floor(random() * markup.length)]!}`)
      const message = parse(format, parts.join(' '))
      const all = `${message.reasoning} ${message.content} ${JSON.stringify(message.toolCalls)}`
      for (let n = 0; n < 12; n++) expect(all, parts.join(' ')).toContain(`w${n}`)
    }
  })
})

describe('long texts', () => {
  const read = (pieces: readonly string[]): ParsedMessage => {
    const parser = createOutputParser(hermes, { tools: [], promptTail: '', createId: () => 'id0' })
    const deltas = pieces.map((piece) => {
      parser.push(piece, false)
      return parser.take()
    })
    parser.finish()
    return mergeDeltas([...deltas, parser.take()])
  }

  it('take a time that grows with their length only', () => {
    const begun = '<tool_call>{"x": "'.repeat(20_000)
    expect(read([begun]).content).toBe(begun)
    const blank = Array.from({ length: 50_000 }, () => ' \n')
    expect(read(['a', ...blank]).content).toHaveLength(100_001)
    const long = ['<tool_call>{"arguments": {"a": "', ...blank]
    expect(read(long).content).toHaveLength(long[0]!.length + 100_000)
    expect(read(['<tool_call>{"name": "f", "arguments": {"a": "', ...blank]).toolCalls[0]!.arguments).toHaveLength(
      100_007,
    )
  })
})
