import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ChatTemplateError } from '../errors.ts'
import type { ChatMessage, ToolDefinition } from './chat-message.ts'
import { createChatTemplate, type TemplateTokens } from './chat-template.ts'
import { formatTime } from './format-time.ts'
import { RawJson } from './raw-json.ts'

interface GoldenCase {
  readonly messages: ChatMessage[]
  readonly tools: ToolDefinition[] | null
  readonly add_generation_prompt: boolean
  readonly extra: Record<string, unknown>
  readonly rendered?: string
  readonly error?: string
}

interface GoldenTemplate {
  readonly name: string
  readonly template: string
  readonly variables: Record<string, string | null>
  readonly cases: GoldenCase[]
}

const { templates } = JSON.parse(
  readFileSync(new URL('../../../../fixtures/chat-templates/golden.json', import.meta.url), 'utf8'),
) as { templates: GoldenTemplate[] }
const noTokens: TemplateTokens = { bosToken: null, eosToken: null, padToken: null, unkToken: null }
const user = (content: ChatMessage['content']): ChatMessage[] => [{ role: 'user', content }]
const render = (source: string, messages: ChatMessage[] = user('Hi'), extra: Record<string, unknown> = {}): string =>
  createChatTemplate(source, noTokens).render({ messages, addGenerationPrompt: true, extra })

describe.each(templates)('template $name', ({ template, variables, cases }) => {
  const { bos_token = null, eos_token = null, pad_token = null, unk_token = null } = variables
  const chatTemplate = createChatTemplate(template, {
    bosToken: bos_token,
    eosToken: eos_token,
    padToken: pad_token,
    unkToken: unk_token,
  })

  it.each(cases.map((c, i) => [i, c] as const))(
    'golden case %i',
    (_, { messages, tools, add_generation_prompt: addGenerationPrompt, extra, rendered, error }) => {
      const call = (): string => chatTemplate.render({ messages, tools, addGenerationPrompt, extra })
      if (error === undefined) return expect(call()).toBe(rendered)
      expect(call).toThrow(ChatTemplateError)
      expect(call).toThrow(error)
    },
  )
})

describe('messages', () => {
  const plain = '{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}'

  it('joins text parts unless the template takes parts', () => {
    const parts = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ] as const
    expect(render(plain, user(parts))).toBe('[user] one\ntwo')
    expect(
      render(
        '{% for m in messages %}{% for part in m.content %}<{{ part.text }}>{% endfor %}{% endfor %}',
        user(parts),
      ),
    ).toBe('<one><two>')
  })

  it('gives arguments of tool calls as objects, whether they come as text or not', () => {
    const call = (args: string | Record<string, unknown>): ChatMessage[] => [
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ type: 'function', function: { name: 'f', arguments: args } }],
      },
    ]
    const source = '{{ messages[0].tool_calls[0].function.arguments | tojson }}'
    expect(render(source, call('{"a":1}'))).toBe('{"a": 1}')
    expect(render(source, call({ a: 1 }))).toBe('{"a": 1}')
    expect(render(source, call('not json'))).toBe('{}')
  })

  it('gives arguments as text to a template that fails with objects', () => {
    const called = (args: string | Record<string, unknown>): ChatMessage[] => [
      { role: 'assistant', content: '', tool_calls: [{ type: 'function', function: { name: 'f', arguments: args } }] },
    ]
    const source = "{{ '<' + messages[0].tool_calls[0].function.arguments + '>' }}"
    expect(render(source, called('{"b": 1.0, "a": "ü"}'))).toBe('<{"b": 1.0, "a": "ü"}>')
    expect(render(source, called({ a: [] }))).toBe('<{"a": []}>')
    expect(render(source, called('no json'))).toBe('<{}>')
    const wrong = '{{ 1 + messages[0].tool_calls[0].function.arguments }}'
    expect(() => render(wrong, called({}))).toThrow(/dict/)
    expect(() => render("{{ raise_exception('No.') }}", called({}))).toThrow('No.')
  })

  it('keeps numbers and keys of what comes as its text', () => {
    const written = '{"2": 1234567890123456789, "1": 1.0, "x": 1e2, "__proto__": {"b": -0.0}}'
    const shown = '{"2": 1234567890123456789, "1": 1.0, "x": 100.0, "__proto__": {"b": -0.0}}'
    const messages: ChatMessage[] = [
      { role: 'user', content: 'Hi', extra: new RawJson(written) },
      {
        role: 'assistant',
        content: null,
        tool_calls: new RawJson(`[{"function": {"name": "f", "arguments": ${written}}}]`),
      },
    ]
    const source =
      '{{ messages[0].extra | tojson }}|{{ messages[1].tool_calls[0].function.arguments | tojson }}|{{ given | tojson }}'
    expect(render(source, messages, { given: new RawJson(written) })).toBe([shown, shown, shown].join('|'))
    expect(() => render(source, messages, { given: new RawJson('{') })).toThrow(ChatTemplateError)
    expect(JSON.stringify(new RawJson('[1]'))).toBe('[1]')
  })

  it.each([
    "{% for m in messages %}{% if 'x' in m.content %}{% endif %}[{{ m.content }}]{% endfor %}",
    "{% for m in messages %}{% if 'x' not in m['content'] %}{% endif %}[{{ m.content }}]{% endfor %}",
    '{# what is in m.content #}{% for m in messages %}[{{ m.content }}]{% endfor %}',
    "{% for m in messages %}{% for line in m.content.split('|') %}[{{ line }}]{% endfor %}{% endfor %}",
  ])('joins parts where only the text mentions a loop: %s', (source) => {
    expect(render(source, user(['one', { type: 'input_text', text: 'two' }]))).toBe('[one\ntwo]')
  })

  it.each([
    '{% for m in messages %}{% set c = m.content %}{% for p in c %}<{{ p.text }}>{% endfor %}{% endfor %}',
    '{% macro show(c) %}{% for p in c %}<{{ p.text }}>{% endfor %}{% endmacro %}{% for m in messages %}{{ show(m.content) }}{% endfor %}',
    "{% set ns = namespace(all=messages) %}{% set rest = messages[0:] %}{% for m in rest %}{% for p in m.get('content') %}<{{ p.text }}>{% endfor %}{% endfor %}",
    "{{ messages[0].content | map(attribute='text') | join }}<>",
  ])('gives parts, of plain text too, to a template that goes through them: %s', (source) => {
    expect(render(source, user('hi'))).toMatch(/<hi>|hi<>/)
  })

  it('takes content that is null, empty or absent for empty text, and no calls for none', () => {
    const call = { type: 'function', function: { name: 'f', arguments: {} } } as const
    const source =
      "{% for m in messages %}[{{ m.content }}]{{ 'tool_calls' in m }}{{ 'name' in m }}{{ m.x }}{% endfor %}"
    const messages = [
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'assistant', content: [], tool_calls: [], name: null, x: 7 },
    ] as unknown as ChatMessage[]
    expect(render(source, messages)).toBe('[]TrueFalse[]FalseFalse7')
  })

  it('keeps numbers and the order of keys of JSON texts', () => {
    const json = '{"2": 1, "1": 1234567890123456789, "x": 1.0, "y": 1e2}'
    const messages: ChatMessage[] = [
      { role: 'assistant', content: '', tool_calls: [{ function: { name: 'f', arguments: json } }] },
    ]
    const source = '{{ messages[0].tool_calls[0].function.arguments | tojson }}{{ tools | tojson }}'
    const text = createChatTemplate(source, noTokens).render({
      messages,
      tools: `[${json}]`,
      addGenerationPrompt: false,
    })
    const written = json.replace('1e2', '100.0')
    expect(text).toBe(`${written}[${written}]`)
  })

  it('hands developer over as system where the template knows no such role', () => {
    const source =
      "{% for m in messages %}{% if m.role == 'system' %}S:{% endif %}{% if m.role == 'user' %}U:{% endif %}{{ m.content }}{% endfor %}"
    const messages: ChatMessage[] = [{ role: 'developer', content: 'be brief' }]
    expect(render(source, messages)).toBe('S:be brief')
    expect(render(`{% set d = 'developer' %}{{ messages[0].role }}`, messages)).toBe('developer')
  })

  it('says which role the template leaves out', () => {
    const source = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    const messages: ChatMessage[] = [...user('Hi'), { role: 'critic', content: 'Hi' }]
    expect(() => render(source, messages)).toThrow(/\[1\].*"critic"/)
    expect(render('{% for m in messages %}{{ m.role }} {% endfor %}', messages)).toBe('user critic ')
  })

  it('renders at first use, with the same error each time', () => {
    const template = createChatTemplate('{% for %}', noTokens)
    expect(() => template.compile()).toThrow(/not valid Jinja at line 1/)
    expect(() => template.compile()).toThrow(ChatTemplateError)
  })

  it('takes Windows line ends for line ends', () => {
    expect(render('{% if true %}\r\na\r\n{% endif %}\r\n')).toBe(render('{% if true %}\na\n{% endif %}\n'))
  })

  it('continues the final message', () => {
    const chatml = templates.find((t) => t.name === 'chatml')!
    const template = createChatTemplate(chatml.template, noTokens)
    const messages: ChatMessage[] = [...user('Hi'), { role: 'assistant', content: 'The answer is ' }]
    const text = template.render({ messages, addGenerationPrompt: false, continueFinalMessage: true })
    expect(text.endsWith('assistant\nThe answer is ')).toBe(true)
    for (const content of ['', ' ', '\n', 'end', 'im', '|', '<', 'assistant']) {
      const open = template.render({
        messages: [{ role: 'assistant', content }],
        addGenerationPrompt: false,
        continueFinalMessage: true,
      })
      expect(open.endsWith(`assistant\n${content}`)).toBe(true)
    }
    expect(() =>
      template.render({
        messages: [{ role: 'assistant', content: null, tool_calls: [] }],
        addGenerationPrompt: false,
        continueFinalMessage: true,
      }),
    ).toThrow(ChatTemplateError)
  })

  it('selects and rejects with tests', () => {
    expect(render("{{ ['a', 'b', 'c'] | reject('equalto', 'b') | join(',') }}")).toBe('a,c')
    expect(render("{{ [1, 2, 3] | select('odd') | join(',') }}")).toBe('1,3')
    expect(render("{{ ['', 'x'] | select | join(',') }}")).toBe('x')
    const items = [{ a: { b: 1 } }, { a: { b: 2 } }, {}]
    expect(
      render(
        "{% set n = 2 %}{{ items[:2] | selectattr('a.b', 'equalto', n) | list | length }} {{ items | rejectattr('a') | list | length }} {{ items | selectattr('a', 'defined') | list | length }}",
        user('Hi'),
        { items },
      ),
    ).toBe('1 1 2')
  })

  it('writes and strips as Python does', () => {
    expect(render('{{ none }} {{ true }} {{ false }}{% set x = none %}{{ x }}')).toBe('None True FalseNone')
    expect(
      render(
        "{{ 'xx hi xx'.strip('x') }}|{{ '\\n  a\\n'.lstrip('\\n') }}|{{ 'abab-'.rstrip('-b') }}|{{ ' a '.strip() }}",
      ),
    ).toBe(' hi |  a\n|aba|a')
    expect(render("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m('x') }}{{ m(1).strip('<') }}")).toBe('<x>1>')
  })
})

describe('hostile templates', () => {
  it.each([
    ['syntax', '{% for %}', /not valid Jinja/],
    [
      'endless work',
      '{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}',
      /loop without end/,
    ],
    [
      'empty loops',
      '{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}',
      /loop without end/,
    ],
    [
      'doubling lists',
      '{% set ns = namespace(x=[1]) %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}',
      /lists of more than 8388608 items/,
    ],
    [
      'growing text',
      "{% set ns = namespace(x='a') %}{% for a in range(9) %}{% set ns.x = ns.x.replace('a', 'aaaaaaaaaaaaaaaa') %}{% endfor %}",
      /a text of 16777216 characters/,
    ],
    [
      'huge output',
      "{% set x = range(100000) | join('x') %}{% for a in range(20) %}{{ x }}{% endfor %}",
      /a text of \d+ characters/,
    ],
    ['a huge range', '{% for a in range(1000000000) %}x{% endfor %}', /range/],
    [
      'doubling text',
      "{% set ns = namespace(x='aaaa') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
      /failed|characters/,
    ],
    ['unknown filter', '{{ 1 | frobnicate }}', /failed/],
    ['size', 'x'.repeat(2 ** 20 + 1), /1048577 characters/],
  ])('bounds %s', (_, source, message) => {
    expect(() => render(source)).toThrow(ChatTemplateError)
    expect(() => render(source)).toThrow(message)
  })

  it.each([
    "{{ ''.constructor.constructor('return process')() }}",
    '{{ messages.__proto__ }}',
    "{{ messages['constructor'] }}",
    '{{ raise_exception.constructor }}',
  ])('reaches no JavaScript: %s', (source) => {
    const result = ((): string => {
      try {
        return render(source)
      } catch (error) {
        return error instanceof ChatTemplateError ? '' : 'other error'
      }
    })()
    expect(result).toBe('')
  })

  it('keeps a request from replacing the messages', () => {
    expect(() => render('x', user('Hi'), { messages: [] })).toThrow(/"messages" cannot be set/)
    expect(render('{{ enable_thinking }}', user('Hi'), { enable_thinking: 'no' })).toBe('no')
  })
})

describe('formatTime', () => {
  it('follows strftime', () => {
    const date = new Date(2026, 2, 5, 15, 4, 9)
    expect(formatTime('%d %b %Y, %A %-d %B %y %H:%M:%S %I %p %m 100%% %Q', date)).toBe(
      '05 Mar 2026, Thursday 5 March 26 15:04:09 03 PM 03 100% %Q',
    )
  })
})

describe('tools that lack what a template asks for', () => {
  const tools = (fn: object): ToolDefinition[] => [{ type: 'function', function: { name: 'now', ...fn } }]
  const renderTools = (source: string, fn: object): string =>
    createChatTemplate(source, noTokens).render({ messages: user('Hi'), tools: tools(fn), addGenerationPrompt: true })
  const asking =
    "{% for t in tools %}{{ t.function.name + ':' + t.function.description }}{{ t.function.parameters.properties | tojson }}{% endfor %}"

  it.each([{}, { description: null, parameters: null }, { parameters: {} }, { parameters: { type: 'object' } }])(
    'get it: %j',
    (fn) => {
      expect(renderTools(asking, fn)).toBe('now:{}')
    },
  )

  it('keep what they have, and reach other templates as they are', () => {
    expect(renderTools(asking, { parameters: { properties: { a: {} } } })).toBe('now:{"a": {}}')
    expect(renderTools('{{ tools | tojson }}', {})).toBe('[{"type": "function", "function": {"name": "now"}}]')
  })

  it('say how the template failed where that does not help', () => {
    expect(() => renderTools('{{ tools[0].function.other.x }}', {})).toThrow(/has no attribute 'other'/)
  })
})
