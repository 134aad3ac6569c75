import { chatCompletionRequestSchema, completionRequestSchema } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { JsonSource } from '../json-source.ts'
import { structuredOutput } from './structured-output.ts'

const ofCompletion = (body: object) => structuredOutput(completionRequestSchema.parse({ prompt: 'a', ...body }))
const constrained = (constraint: object) => ofCompletion({ structured_outputs: constraint })

describe('structuredOutput', () => {
  it.each<[object, unknown]>([
    [{ type: 'text' }, undefined],
    [{ type: 'json_object' }, { type: 'jsonObject' }],
    [
      { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' }, strict: true } },
      { type: 'json', schema: { type: 'object' } },
    ],
    [
      { type: 'json_schema', json_schema: { name: 'n', schema: false } },
      { type: 'json', schema: false },
    ],
    [
      { type: 'structural_tag', format: { type: 'any_text' } },
      { type: 'structuralTag', tag: { type: 'structural_tag', format: { type: 'any_text' } } },
    ],
  ])('is what the format says: %j', (format, expected) => {
    expect(ofCompletion({ response_format: format })).toEqual(expected)
  })

  it.each<[object, unknown]>([
    [{ json: { type: 'string' } }, { type: 'json', schema: { type: 'string' } }],
    [
      { json: '{"const": 1.0}', regex: null },
      { type: 'json', schema: '{"const": 1.0}' },
    ],
    [{ json: false }, { type: 'json', schema: false }],
    [
      { json: {}, disable_any_whitespace: true, disable_additional_properties: true },
      { type: 'json', schema: {}, anyWhitespace: false, additionalProperties: false },
    ],
    [
      { json_object: true, disable_any_whitespace: true },
      { type: 'jsonObject', anyWhitespace: false },
    ],
    [{ regex: 'a+' }, { type: 'regex', pattern: 'a+' }],
    [{ choice: ['a', 'b'] }, { type: 'choice', choices: ['a', 'b'] }],
    [{ grammar: 'root ::= "a"' }, { type: 'grammar', grammar: 'root ::= "a"' }],
    [{ structural_tag: '{}' }, { type: 'structuralTag', tag: '{}' }],
  ])("is vLLM's constraint: %j", (constraint, expected) => {
    expect(constrained(constraint)).toEqual(expected)
  })

  it('keeps schemas as they were written', () => {
    const schema = '{"properties": {"10": {"const": 12345678901234567890}, "9": {"multipleOf": 1.0}}}'
    const messages = '"messages": [{"role": "user", "content": "hi"}]'
    const taken = (text: string) =>
      structuredOutput(chatCompletionRequestSchema.parse(JSON.parse(text)), new JsonSource(text))
    const format = `{"type": "json_schema", "json_schema": {"name": "n", "schema": ${schema}}}`
    expect(taken(`{${messages}, "response_format": ${format}}`)).toEqual({ type: 'json', schema })
    expect(taken(`{${messages}, "structured_outputs": {"json": ${schema}}}`)).toEqual({ type: 'json', schema })
    const tag = '{"type": "structural_tag", "format": {"type": "const_string", "value": "1"}}'
    expect(taken(`{${messages}, "response_format": ${tag}}`)).toEqual({ type: 'structuralTag', tag })
  })
})
