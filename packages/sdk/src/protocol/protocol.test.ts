import { describe, expect, it } from 'vitest'
import { chatCompletionRequestSchema } from './chat-completion-request.ts'
import { completionRequestSchema } from './completion-request.ts'
import { chatFieldName, completionFieldName } from './field-names.ts'
import { jsonObjectSchema } from './json-object.ts'

const messages = [{ role: 'user', content: 'hi' }]
const accepts = (body: object): boolean => chatCompletionRequestSchema.safeParse({ messages, ...body }).success

describe('chat completion requests', () => {
  it('drop what nobody knows and keep the rest as it is', () => {
    const body = { messages, temperature: 0, top_k: -1, user: 'u', whatever: 1 }
    expect(chatCompletionRequestSchema.parse(body)).toEqual({ messages, temperature: 0, top_k: -1 })
  })

  it.each([
    ['temperature', [0, 2, null], [-0.1, 2.1, '1', Number.NaN, Infinity, true]],
    ['top_p', [0.001, 1], [0, 1.1]],
    ['top_k', [-1, 0, 50], [-2, 1.5, '5']],
    ['min_p', [0, 1], [-0.1, 1.1]],
    ['presence_penalty', [-2, 2], [-2.1, 2.1]],
    ['frequency_penalty', [-2, 2], [-2.1, 2.1]],
    ['repetition_penalty', [0.1, 5], [0, -1]],
    ['n', [1, 100], [0, -1, 1.5]],
    ['max_tokens', [1], [0, -1, 1.5, '3']],
    ['max_completion_tokens', [1], [0, -1]],
    ['min_tokens', [0], [-1]],
    ['seed', [0, -5, 2 ** 53 - 1, 2n ** 63n - 1n], [2 ** 53, 2n ** 63n, 0.5, '1']],
    ['stop', ['a', ['a', 'b'], []], ['', ['a', ''], 3, [3], Array(65).fill('a')]],
    ['stop_token_ids', [[0, 5]], [[-1], [1.5], ['1'], 5]],
    ['allowed_token_ids', [[1]], [[-1]]],
    ['bad_words', [['a b']], [[''], 'a']],
    ['logit_bias', [{ 5: -100, 6: 100 }, {}], [{ a: 1 }, { '-1': 1 }, { 5: '1' }, [1], { 5: Infinity }]],
    ['truncate_prompt_tokens', [-1, 1], [0, -2]],
    ['truncation_side', ['left', 'right'], ['middle']],
    ['prompt_logprobs', [-1, 0, 5], [-2]],
    ['cache_salt', ['a'], ['']],
    ['request_id', ['a-1', 'req:x.y'], ['', 'a b', 'x'.repeat(129)]],
    ['priority', [-5, 5], [0.5]],
    ['stream', [true, false], ['true', 1]],
    ['logprobs', [true, false], [1]],
    [
      'response_format',
      [
        { type: 'text' },
        { type: 'json_object' },
        { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'object' }, strict: true } },
        { type: 'structural_tag', format: { type: 'any_text' } },
      ],
      [{ type: 'json_schema', json_schema: {} }, { type: 'json_schema' }, { type: 'xml' }, {}, 'text'],
    ],
    [
      'structured_outputs',
      [
        { json: {} },
        { json: '{}' },
        { json: false },
        { regex: 'a' },
        { choice: ['a'] },
        { json_object: true, json: null },
      ],
      [
        {},
        { json: {}, regex: 'a' },
        { json_object: false },
        { choice: [] },
        { regex: '' },
        { json: {}, whitespace_pattern: 'a' },
      ],
    ],
    ['guided_json', [null], [{}]],
    ['guided_choice', [null], [['a']]],
    ['thinking_token_budget', [-1, 0, 5], [-2, 1.5]],
    ['reasoning_effort', ['none', 'high'], ['', 3]],
    ['modalities', [['text']], [['text', 'audio'], []]],
    ['include_reasoning', [true, false], ['no']],
    ['best_of', [1], [2]],
    ['length_penalty', [1], [1.5]],
    ['functions', [null, []], [[{ name: 'f' }], {}]],
    ['kv_transfer_params', [null, {}], [{ a: 1 }, []]],
    ['function_call', [null, 'none'], ['auto']],
  ] as [string, unknown[], unknown[]][])('hold %s to its range', (field, good, bad) => {
    for (const value of good) expect([value, accepts({ [field]: value })]).toEqual([value, true])
    for (const value of bad) expect([value, accepts({ [field]: value })]).toEqual([value, false])
  })

  it('name the tool that is wrong, or the choice of one', () => {
    const tool = (name: unknown) => ({ type: 'function', function: { name } })
    const named = (name: string) => ({ tool_choice: tool(name) })
    const allowed = (...names: string[]) => ({
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: names.map(tool) } },
    })
    const issueOf = (body: object) => {
      const issue = chatCompletionRequestSchema.safeParse({ messages, ...body }).error?.issues[0]
      return issue && `${issue.path.join('.')}: ${issue.message}`
    }
    const tools = [tool('a'), tool('mcp/b.c:d-é_1')]
    for (const choice of ['none', 'auto', 'required', null])
      expect(issueOf({ tools, tool_choice: choice })).toBeUndefined()
    expect(issueOf({ tools, ...named('a') })).toBeUndefined()
    expect(issueOf({ tools, ...allowed('a', 'mcp/b.c:d-é_1') })).toBeUndefined()
    expect(issueOf({ tool_choice: 'none' })).toBeUndefined()
    expect(issueOf({ tools: [], tool_choice: 'none' })).toBeUndefined()
    expect(issueOf({ tool_choice: 'required' })).toBe('tool_choice: needs tools')
    expect(issueOf({ tools: [], ...named('a') })).toBe('tool_choice: needs tools')
    expect(issueOf({ tools, ...named('c') })).toMatch(/^tool_choice: names "c", which is none of the tools \(a, mcp/)
    expect(issueOf({ tools, ...allowed('a', 'c') })).toMatch(/^tool_choice: names "c"/)
    expect(issueOf({ tools: [tool('a'), tool('b'), tool('a')] })).toBe(
      'tools.2.function.name: names the tool "a" a second time',
    )
    expect(issueOf({ tools: [tool(undefined)] })).toMatch(/^tools.0.function.name: is required/)
    for (const name of ['', 'a b', 'a"', '<a>', 'a'.repeat(129), 'a\n'])
      expect(issueOf({ tools: [tool(name)] })).toMatch(/^tools.0.function.name: must be 1 to 128 letters/)
    expect(issueOf({ tools: [{ type: 'web_search' }] })).toMatch(/^tools.0.type: must be "function"/)
  })

  it('take one constraint, not two', () => {
    const format = { type: 'json_object' }
    expect(accepts({ structured_outputs: { regex: 'a' }, response_format: { type: 'text' } })).toBe(true)
    expect(accepts({ structured_outputs: { regex: 'a' }, response_format: format })).toBe(false)
    expect(accepts({ structured_outputs: { regex: 'a', disable_any_whitespaces: true } })).toBe(false)
    const tools = [{ type: 'function', function: { name: 'a' } }]
    const constrained = (choice: unknown) => accepts({ structured_outputs: { regex: 'a' }, tools, tool_choice: choice })
    for (const choice of ['auto', 'none']) expect(constrained(choice)).toBe(true)
    for (const choice of ['required', { type: 'function', function: { name: 'a' } }])
      expect(constrained(choice)).toBe(false)
    expect(accepts({ response_format: format, tools, tool_choice: 'required' })).toBe(true)
  })

  it('take every role, and text in parts', () => {
    const all = [
      { role: 'system', content: 's' },
      { role: 'developer', content: 'd' },
      { role: 'user', content: [{ type: 'text', text: 'a' }] },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', content: 'r', tool_call_id: 'c' },
    ]
    expect(chatCompletionRequestSchema.parse({ messages: all }).messages).toEqual(all)
  })

  it('stay cheap to refuse, however long the hostile list', () => {
    const million = Array.from({ length: 1_000_000 }, () => ({}))
    const result = chatCompletionRequestSchema.safeParse({ messages: million })
    expect(result.error?.issues).toHaveLength(1)
    expect(completionRequestSchema.safeParse({ prompt: million }).error?.issues).toHaveLength(1)
  })
})

describe('completion requests', () => {
  it.each([
    [
      'prompt',
      ['', 'a', ['a', ''], [0, 1], [[0], [1, 2]]],
      [3, null, [], [[]], [[1], []], ['a', 1], [1, 'a'], [-1], [1.5], [['a']], {}],
    ],
    ['logprobs', [-1, 0, 5], [-2, true]],
    ['max_tokens', [1], [0, -1]],
  ] as [string, unknown[], unknown[]][])('hold %s to its range', (field, good, bad) => {
    const isAccepted = (value: unknown): boolean =>
      completionRequestSchema.safeParse({ prompt: 'a', [field]: value }).success
    for (const value of good) expect([value, isAccepted(value)]).toEqual([value, true])
    for (const value of bad) expect([value, isAccepted(value)]).toEqual([value, false])
  })

  it('bound the choices of all prompts together', () => {
    const isAccepted = (body: object): boolean => completionRequestSchema.safeParse(body).success
    expect(isAccepted({ prompt: [1, 2, 3], n: 16_384 })).toBe(true)
    expect(isAccepted({ prompt: ['a', 'b'], n: 8192 })).toBe(true)
    expect(isAccepted({ prompt: ['a', 'b'], n: 8193 })).toBe(false)
    expect(isAccepted({ prompt: Array.from({ length: 2048 }, () => [1]), n: 9 })).toBe(false)
  })

  it.each([
    ['bad_words', 64, (n: number) => Array.from({ length: n }, () => 'a')],
    ['logit_bias', 1024, (n: number) => Object.fromEntries(Array.from({ length: n }, (_, id) => [id, 1]))],
    ['stop_token_ids', 1024, (n: number) => Array.from({ length: n }, (_, id) => id)],
    ['allowed_token_ids', 1024, (n: number) => Array.from({ length: n }, (_, id) => id)],
  ])('bound the entries of %s of all prompts together', (field, share, entries) => {
    const many = Array.from({ length: 1024 }, () => 'a')
    const parse = (prompt: string | string[], n: number) =>
      completionRequestSchema.safeParse({ prompt, [field]: entries(n) })
    expect(parse(many, share).success).toBe(true)
    expect(parse('a', share + 1).success).toBe(true)
    expect(parse(many, share + 1).error?.issues[0]?.message).toBe(
      `may have at most ${share} entries for 1024 prompts, got ${share + 1}; send fewer prompts at once`,
    )
  })

  it('allow no tokens for an echo only', () => {
    expect(completionRequestSchema.safeParse({ prompt: 'a', max_tokens: 0, echo: true }).success).toBe(true)
  })
})

describe('the field that says what an output must be', () => {
  it('is the one that the body has', () => {
    const format = { type: 'json_object' }
    const tools = [{}]
    expect(chatFieldName('structuredOutput', { response_format: format, tools })).toBe('response_format')
    expect(chatFieldName('structuredOutput', { structured_outputs: {}, response_format: { type: 'text' } })).toBe(
      'structured_outputs',
    )
    expect(chatFieldName('structuredOutput', { response_format: { type: 'text' }, tools })).toBe('tools')
    expect(completionFieldName('structuredOutput', { response_format: format })).toBe('response_format')
    for (const body of [{}, null, 'a', { response_format: null }])
      expect(completionFieldName('structuredOutput', body)).toBe('structured_outputs')
  })
})

describe('jsonObjectSchema', () => {
  const nested = (depth: number): unknown => JSON.parse('{"a":'.repeat(depth) + '1' + '}'.repeat(depth))

  it('takes 64 levels and no more', () => {
    expect(jsonObjectSchema.safeParse(nested(64)).success).toBe(true)
    expect(jsonObjectSchema.safeParse(nested(65)).success).toBe(false)
    expect(jsonObjectSchema.safeParse(nested(50_000)).success).toBe(false)
  })

  it('takes 65,535 values below the root and no more', () => {
    const wide = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]))
    expect(jsonObjectSchema.safeParse(wide(65_535)).success).toBe(true)
    expect(jsonObjectSchema.safeParse(wide(65_536)).success).toBe(false)
  })
})
