import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { renderTemplate } from './interpreter.ts'
import { JinjaError, RaisedException } from './jinja-error.ts'
import { parseJson } from './parse-json.ts'
import { parseTemplate } from './parser.ts'
import type { Dict } from './values.ts'
import { type Value } from './values.ts'

/** Templates with what Jinja2 makes of them; null where it refuses. `fixtures/templates/make.py` wrote them. */
const { variables, cases } = JSON.parse(
  readFileSync(new URL('../../../../../fixtures/templates/expressions.json', import.meta.url), 'utf8'),
) as { variables: string; cases: [source: string, rendered: string | null][] }

function render(source: string): string {
  const given = parseJson(variables) as Dict
  given.setText('tools', null)
  return renderTemplate(
    parseTemplate(source),
    new Map<string, Value>(given.entries.values() as Iterable<[string, Value]>),
  )
}

/** Jinja2 fails on a slice of a dict in some Pythons only, and on a loop over `a,`; both have a value here. */
const isLenient = (source: string): boolean => source.startsWith('{{ d[0:1] }}') || source.includes('{% for a, in ')
/** Python prints addresses. */
const isAddress = (rendered: string | null): boolean => rendered !== null && / at 0x[0-9a-f]+>/.test(rendered)

describe('as Jinja2', () => {
  it.each(cases.filter(([, rendered]) => rendered !== null && !isAddress(rendered)))(
    'renders %j',
    (source, rendered) => {
      expect(render(source)).toBe(rendered)
    },
  )

  it.each(cases.filter(([source, rendered]) => rendered === null && !isLenient(source)))('refuses %j', (source) => {
    const refusal = ((): unknown => {
      try {
        return render(source)
      } catch (error) {
        return error
      }
    })()
    expect(refusal instanceof JinjaError || refusal instanceof RaisedException).toBe(true)
  })

  it('says the line of a fault', () => {
    expect(() => render('a\n\n{{ 1 + }}')).toThrow(expect.objectContaining({ line: 3 }))
    expect(() => render('a\n{% if true %}\n{{ nope.x }}{% endif %}')).toThrow(expect.objectContaining({ line: 3 }))
  })
})

describe('hostile values', () => {
  const nested = '{% set ns = namespace(d=["x"]) %}{% for i in range(60) %}{% set ns.d = [ns.d, ns.d] %}{% endfor %}'

  it.each([
    '{{ ns.d }}',
    '{{ ns.d | tojson }}',
    '{{ ns.d | string | length }}',
    "{{ '%s' % ns.d }}",
    "{{ '{}'.format(ns.d) }}",
    "{{ 'a' ~ ns.d }}",
    '{{ ns.d | join }}',
  ])('end within the budget: %s', (source) => {
    expect(() => render(nested + source)).toThrow(/steps|characters/)
  })

  it.each([
    "{{ 'a'.center(10 ** 9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    '{{ [1] * 10 ** 9 }}',
    '{{ 10 ** 1000000 }}',
    '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
    `{{ ${'('.repeat(1000)}1${')'.repeat(1000)} }}`,
    `{{ 1${'+1'.repeat(100_000)} }}`,
  ])('are refused before they are made: %s', (source) => {
    expect(() => render(source)).toThrow(JinjaError)
  })

  it('take a time that grows with the template, not faster', () => {
    expect(render('{{ 1 }}'.repeat(50_000))).toHaveLength(50_000)
    expect(render(`{{ ('<' * 500000) | striptags | length }}`)).toBe('500000')
  }, 20_000)
})
