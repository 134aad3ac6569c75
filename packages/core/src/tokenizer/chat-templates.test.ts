import { describe, expect, it } from 'vitest'
import { ChatTemplateError, InvalidRequestError } from '../errors.ts'
import { ChatTemplates, type ChatTemplatesOptions } from './chat-templates.ts'

const tokens = { bosToken: null, eosToken: null, padToken: null, unkToken: null }
const named = new Map([
  ['default', 'D'],
  ['tool_use', 'T'],
])

function rendered(options: Partial<ChatTemplatesOptions>, requested: string | null, hasTools = false): string {
  const templates = new ChatTemplates({ override: null, defaultTemplate: 'D', named, tokens, ...options })
  return templates.select(requested, hasTools).render({ messages: [], addGenerationPrompt: false })
}

describe('ChatTemplates', () => {
  it('takes tool_use with tools, and what the operator or the request names or brings before that', () => {
    expect(rendered({}, null)).toBe('D')
    expect(rendered({}, null, true)).toBe('T')
    expect(rendered({ named: new Map() }, null, true)).toBe('D')
    expect(rendered({ override: 'O' }, null, true)).toBe('O')
    expect(rendered({ override: 'tool_use' }, null)).toBe('T')
    expect(rendered({ override: 'O' }, 'tool_use')).toBe('T')
    expect(rendered({ override: 'O' }, 'R{{ 1 }}')).toBe('R1')
  })

  it('refuses without a template, naming the choices', () => {
    expect(() => rendered({ defaultTemplate: null, named: new Map() }, null)).toThrow(InvalidRequestError)
    expect(() => rendered({ defaultTemplate: null }, null)).toThrow(/default, tool_use/)
  })

  it("checks the operator's at once, the model's at use", () => {
    expect(() => new ChatTemplates({ override: '{% for', defaultTemplate: null, named, tokens })).toThrow(
      ChatTemplateError,
    )
    expect(() => new ChatTemplates({ override: null, defaultTemplate: '{% for', named, tokens })).not.toThrow()
  })
})
