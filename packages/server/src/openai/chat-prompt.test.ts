import type { ChatCompletionRequest } from '@octavo/sdk/protocol'
import { chatCompletionRequestSchema } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { chatToGenerateRequest } from './chat-completions.ts'
import { JsonSource } from '../json-source.ts'
import { answerRole, chatPrompt, echoedText } from './chat-prompt.ts'

const context = { engineRequestId: 'e-1', model: 'm', cacheSalt: 'salt' }

function parse(body: object): ChatCompletionRequest {
  return chatCompletionRequestSchema.parse({ messages: [{ role: 'user', content: 'hi' }], ...body })
}

function promptOf(body: object) {
  return chatToGenerateRequest(parse(body), context).prompt
}

describe('chatToGenerateRequest', () => {
  it('goes up to the context unless told otherwise, and yields once', () => {
    expect(chatToGenerateRequest(parse({}), context)).toMatchObject({
      requestId: 'e-1',
      model: 'm',
      cacheSalt: 'salt',
      outputKind: 'parts',
      priority: 0,
      truncatePromptTokens: null,
      truncationSide: 'left',
      params: { maxTokens: null, logprobs: null },
    })
  })

  it('prefers max_completion_tokens to max_tokens', () => {
    expect(chatToGenerateRequest(parse({ max_tokens: 5 }), context).params.maxTokens).toBe(5)
    expect(chatToGenerateRequest(parse({ max_tokens: 5, max_completion_tokens: 9 }), context).params.maxTokens).toBe(9)
  })

  it('asks for deltas to stream, and for logprobs as many as wanted', () => {
    expect(chatToGenerateRequest(parse({ stream: true, logprobs: true }), context)).toMatchObject({
      outputKind: 'delta',
      params: { logprobs: 0 },
    })
    expect(chatToGenerateRequest(parse({ logprobs: true, top_logprobs: 4 }), context).params.logprobs).toBe(4)
    expect(chatToGenerateRequest(parse({ logprobs: false }), context).params.logprobs).toBeNull()
  })

  it('carries priority and truncation', () => {
    const request = chatToGenerateRequest(
      parse({ priority: -3, truncate_prompt_tokens: 10, truncation_side: 'right' }),
      context,
    )
    expect(request).toMatchObject({ priority: -3, truncatePromptTokens: 10, truncationSide: 'right' })
  })

  it('takes an empty list of tools as none', () => {
    expect(promptOf({ tools: [] })).toMatchObject({ tools: null })
  })

  it('opens a new message by default, and does not when the last one is continued', () => {
    expect(promptOf({})).toMatchObject({
      addGenerationPrompt: true,
      continueFinalMessage: false,
      addSpecialTokens: false,
    })
    expect(promptOf({ continue_final_message: true })).toMatchObject({
      addGenerationPrompt: false,
      continueFinalMessage: true,
    })
    expect(promptOf({ add_generation_prompt: false, add_special_tokens: true })).toMatchObject({
      addGenerationPrompt: false,
      addSpecialTokens: true,
    })
  })

  it('brings every role with its fields, without nulls', () => {
    const messages = [
      { role: 'system', content: 's' },
      { role: 'developer', content: 'd', name: null },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
        name: 'ann',
      },
      {
        role: 'assistant',
        content: null,
        reasoning_content: 'r',
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
      },
      { role: 'tool', content: '42', tool_call_id: 'c' },
      { role: 'assistant', refusal: 'no' },
    ]
    expect(promptOf({ messages })).toMatchObject({
      messages: [
        { role: 'system', content: 's' },
        { role: 'developer', content: 'd' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
          name: 'ann',
        },
        {
          role: 'assistant',
          content: null,
          reasoning: 'r',
          tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
        },
        { role: 'tool', content: '42', tool_call_id: 'c' },
        { role: 'assistant', content: 'no' },
      ],
    })
    expect(JSON.stringify(promptOf({ messages }))).not.toContain('"name":null')
  })

  it.each(['[1]', '{', '', '{"id": 1234567890123456789, "x": 1.0}'])(
    'hands arguments of tool calls over as they were written: %s',
    (args) => {
      const messages = [{ role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: args } }] }]
      expect(promptOf({ messages })).toMatchObject({ messages: [{ tool_calls: [{ function: { arguments: args } }] }] })
    },
  )

  it('hands numbers and keys over as the body has them', () => {
    const body = `{"documents": [{"2": 1.0, "1": 2}], "chat_template_kwargs": {"a": 1e2, "b": {"9": 1, "8": 2}, "c": true},
      "messages": [{"role": "user", "content": "hi", "weight": 2.50},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"2": 1234567890123456789, "1": 1.0}}}]}],
      "tools": [{"type": "function", "function": {"name": "f", "parameters": {"10": 1.0, "9": 2}}}], "tool_choice": "none"}`
    const request = chatCompletionRequestSchema.parse(JSON.parse(body))
    const prompt = chatPrompt({ ...request, tool_choice: null }, new JsonSource(body))
    expect(prompt).toMatchObject({
      chatTemplateKwargs: {
        a: { text: '1e2' },
        b: { text: '{"9": 1, "8": 2}' },
        c: true,
        documents: { text: '[{"2": 1.0, "1": 2}]' },
      },
      messages: [
        { role: 'user', content: 'hi', weight: { text: '2.50' } },
        {
          role: 'assistant',
          tool_calls: {
            text: '[{"id": "c", "function": {"name": "f", "arguments": {"2": 1234567890123456789, "1": 1.0}}}]',
          },
        },
      ],
      tools: '[{"type": "function", "function": {"name": "f", "parameters": {"10": 1.0, "9": 2}}}]',
    })
    expect(chatPrompt(request, new JsonSource(body))).toMatchObject({ tools: null })
  })

  it('takes any role, every form of a text part, and fields that only the template knows', () => {
    const messages = [
      { role: 'critic', content: ['a', { type: 'input_text', text: 'b' }, { type: 'refusal', refusal: 'c' }] },
      { role: 'user', content: [], train: false, note: null },
      { role: 'function', content: '1', name: 'f', tool_calls: [] },
    ]
    const text = (value: string) => ({ type: 'text', text: value })
    expect(promptOf({ messages })).toMatchObject({
      messages: [
        { role: 'critic', content: [text('a'), text('b'), text('c')] },
        { role: 'user', content: [], train: false },
        { role: 'function', content: '1', name: 'f' },
      ],
    })
    expect(JSON.stringify(promptOf({ messages }))).not.toContain('note')
  })

  it('hands reasoning_effort, documents and kwargs to the template, the kwargs last', () => {
    const body = {
      reasoning_effort: 'high',
      documents: [{ text: 't' }],
      chat_template_kwargs: { enable_thinking: false, reasoning_effort: 'low' },
    }
    expect(promptOf(body)).toMatchObject({
      chatTemplateKwargs: { documents: [{ text: 't' }], enable_thinking: false, reasoning_effort: 'low' },
    })
    for (const effort of ['high', 'none'])
      expect(promptOf({ reasoning_effort: effort })).toMatchObject({
        chatTemplateKwargs: { reasoning_effort: effort, enable_thinking: effort !== 'none' },
      })
  })
})

describe('chatPrompt', () => {
  it('takes a time that grows with the number of keys, not faster', () => {
    const numbers = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, 1.5]))
    const messages = [{ role: 'user', content: 'hi', ...numbers }]
    const body = { messages, chat_template_kwargs: numbers }
    const prompt = chatPrompt(parse(body), new JsonSource(JSON.stringify(body)))
    expect(prompt).toMatchObject({
      chatTemplateKwargs: { k59999: { text: '1.5' } },
      messages: [{ k0: { text: '1.5' } }],
    })
  }, 5_000)
})

describe('answerRole and echoedText', () => {
  const messages = [
    { role: 'user', content: 'u' },
    {
      role: 'assistant',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    },
  ]

  it('answers as the assistant, or as whoever is continued', () => {
    expect(answerRole(parse({}))).toBe('assistant')
    expect(answerRole(parse({ add_generation_prompt: false }))).toBe('user')
    expect(answerRole(parse({ messages, continue_final_message: true }))).toBe('assistant')
  })

  it('echoes the last message only where asked and only of the same role', () => {
    expect(echoedText(parse({ messages, echo: true, continue_final_message: true }))).toBe('ab')
    expect(echoedText(parse({ messages }))).toBe('')
    expect(echoedText(parse({ echo: true }))).toBe('')
  })
})
