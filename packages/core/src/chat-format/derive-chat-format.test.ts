import { describe, expect, it } from 'vitest'
import { createChatTemplate } from '../tokenizer/chat-template.ts'
import type { ChatFormat } from './chat-format.ts'
import { deriveChatFormat } from './derive-chat-format.ts'
import { families } from './families.case.ts'

const tokens = { bosToken: null, eosToken: '<|end|>', padToken: null, unkToken: null }
const derive = (source: string): ChatFormat =>
  deriveChatFormat(createChatTemplate(source, tokens), { stopTokens: ['<|end|>'] })
/** A template whose turns are plain, with calls as given. */
const withCalls = (calls: string): string =>
  `{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.tool_calls %}${calls}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`

describe('reasoning', () => {
  const reasoningOf = (name: string) => families.find((family) => family.name === name)!.format.reasoning

  it.each([
    ['qwen3', '<think>', '</think>', '\n\n'],
    ['glm-4.5', '<think>', '</think>', '\n'],
    ['deepseek-r1', '<think>', '</think>', '\n\n'],
    ['seed-oss', '<seed:think>', '</seed:think>', '\n'],
    ['mistral-v13', '[THINK]', '[/THINK]', ''],
    ['command-r7b', '<|START_THINKING|>', '<|END_THINKING|>', ''],
    ['minimax-m2', '<think>', '</think>', '\n\n'],
    ['solar-open', '<|think|>', '<|end|>', '<|begin|>assistant'],
  ])('of %s', (name, begin, end, afterEnd) => {
    expect(reasoningOf(name)).toMatchObject({ begin, end, afterEnd })
  })

  it.each(['octavo-tiny', 'qwen2.5', 'llama-3.1', 'mistral-v3', 'functionary-v3.1', 'granite-4'])(
    'none of %s',
    (name) => {
      expect(reasoningOf(name)).toBeNull()
    },
  )
})

describe('thinking that the prompt ends', () => {
  const { reasoning, turn } = derive(
    `{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning %}<th:x>{{ m.reasoning }}</th:x>{% endif %}{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|><th:x></th:x>{% endif %}`,
  )

  it('has the marker before it, and is no part of the turn', () => {
    expect(reasoning).toMatchObject({ begin: '<th:x>', end: '</th:x>' })
    expect(turn).toBe('<|end|><|assistant|>')
  })

  it('is none where all messages have the marker', () => {
    const source = `{% for m in messages %}<|open|>{{ m.role }}<|sep|>{% if m.reasoning %}{{ m.reasoning }}<|close|>{% endif %}{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|open|>assistant<|sep|>think<|sep|>{% endif %}`
    expect(derive(source).reasoning).toBeNull()
  })
})

describe('calls', () => {
  it('in an object, with an id, text arguments and constants', () => {
    const source = withCalls(
      `<c>{% for c in m.tool_calls %}{{ {'kind': 'call', 'key': c.id, 'tool': c.function.name, 'input': c.function.arguments | tojson} | tojson }}{% if not loop.last %}; {% endif %}{% endfor %}</c>`,
    )
    expect(derive(source).toolCalls).toMatchObject({
      begin: '<c>',
      end: '</c>',
      separator: '; ',
      call: {
        type: 'json',
        namePath: ['tool'],
        argumentsPath: ['input'],
        idPath: ['key'],
        constantKeys: ['kind'],
        hasTextArguments: true,
      },
    })
  })

  it('of which a template takes one', () => {
    const source = withCalls(
      `{% if m.tool_calls | length > 1 %}{{ raise_exception('one') }}{% endif %}<c>{{ m.tool_calls[0].function.name }}:{{ m.tool_calls[0].function.arguments | tojson }}</c>`,
    )
    expect(derive(source).toolCalls).toMatchObject({ separator: null, begin: '', end: '', call: { type: 'named' } })
  })

  it('without the tags that what is said beside them stands in', () => {
    const source = `{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}<|said|>{{ m.content }}<|unsaid|>{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`
    expect(derive(source).toolCalls).toMatchObject({ begin: '', end: '', call: { type: 'json', begin: '', end: '' } })
  })

  it.each([
    ['a list of tools', "{{ 'List of tools: [' + (tools | map('tojson') | join(', ')) + ']' }}", 'pythonic'],
    ['an object between tags', `{{ '<tool_call>\\n{"name": x, "arguments": y}\\n</tool_call>' }}`, 'json'],
    ['something else between tags', "{{ '<tool_call>arguments</tool_call>' }}", undefined],
  ])('of templates that write none, by %s', (_, instructions, type) => {
    expect(derive(instructions + withCalls('')).toolCalls?.call.type).toBe(type)
  })

  it.each([
    ['no calls', '{% for m in messages %}{{ m.content }}{% endfor %}', /no calls/],
    ['not Jinja', '{% for %}', /refuses a plain conversation/],
    ['a refusal', "{{ raise_exception('No chats.') }}", /No chats\./],
    ['calls refused', withCalls("{{ raise_exception('No calls.') }}"), /No calls\./],
    ['endless', '{% for i in range(10 ** 9) %}{% endfor %}', /refuses a plain conversation/],
    [
      'arguments in Python',
      withCalls('{% for c in m.tool_calls %}<c>{{ c.function.name }} {{ c.function.arguments }}</c>{% endfor %}'),
      /not known/,
    ],
    [
      'names without arguments',
      withCalls('{% for c in m.tool_calls %}<c>{{ c.function.name }}</c>{% endfor %}'),
      /not known/,
    ],
    [
      'arguments in another order',
      withCalls('{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{{ c.function.name }}{% endfor %}'),
      /not known/,
    ],
    [
      'calls by their number',
      withCalls(
        '{% if m.tool_calls | length == 1 %}<c>{% else %}<d>{% endif %}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}',
      ),
      /otherwise/,
    ],
    [
      'keys as names of tags',
      withCalls(
        '{% for c in m.tool_calls %}<c>{{ c.function.name }}:{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>;{% endfor %}</c>{% endfor %}',
      ),
      /not known/,
    ],
    [
      'names without markup',
      withCalls('{% for c in m.tool_calls %}{{ c.function.name }}\n{{ c.function.arguments | tojson }}{% endfor %}'),
      /not known/,
    ],
    ['texts that depend on their content', withCalls("{{ m.tool_calls | tojson | replace('nqx', 'x') }}"), /not known/],
  ])('says why there is none: %s', (_, source, why) => {
    const { toolCalls, whyNoToolCalls } = derive(source)
    expect(toolCalls).toBeNull()
    expect(whyNoToolCalls).toMatch(why)
  })
})

it('is made once for a template', () => {
  const template = createChatTemplate(withCalls(''), tokens)
  const options = { stopTokens: [] }
  expect(deriveChatFormat(template, options)).toBe(deriveChatFormat(template, options))
})
