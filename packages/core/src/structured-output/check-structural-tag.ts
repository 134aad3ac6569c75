import { InvalidRequestError } from '../errors.ts'
import { checkGrammar } from './ebnf/check-grammar.ts'
import type { SchemaGrammarOptions } from './json-schema/schema-grammar-options.ts'
import { schemaToGrammar } from './json-schema/schema-to-grammar.ts'
import { regexToGrammar } from './regex/regex-to-grammar.ts'
import type { Tag, TagFormat } from './structural-tag.ts'

const maxDepth = 32
const maxFormats = 1000
const maxTextLength = 65_536

/**
 * Checks a user's structural tag: xgrammar's, with or without its wrapper, or the older `structures` with `triggers`.
 * Schemas, regular expressions and grammars in it become grammars of ours.
 * @throws InvalidRequestError that names the place in the tag.
 */
export function checkStructuralTag(tag: unknown, options: SchemaGrammarOptions): TagFormat {
  return new TagChecker(options).check(parseTag(tag))
}

type Fields = Readonly<Record<string, unknown>>

class TagChecker {
  private readonly options: SchemaGrammarOptions
  private numFormats = 0

  constructor(options: SchemaGrammarOptions) {
    this.options = options
  }

  check(tag: unknown): TagFormat {
    const fields = objectAt(tag, '#')
    if (fields['structures'] !== undefined) return this.legacy(fields)
    if (fields['type'] !== 'structural_tag' && (fields['type'] !== undefined || fields['format'] === undefined))
      return this.format(tag, { at: '#', depth: 0 })
    onlyFields(fields, ['type', 'format'], '#')
    return this.format(fields['format'], { at: '#/format', depth: 0 })
  }

  private legacy(fields: Fields): TagFormat {
    onlyFields(fields, ['type', 'structures', 'triggers'], '#')
    const tags = listAt(fields['structures'], '#/structures').map((structure, index): Tag => {
      const at = `#/structures/${index}`
      const { begin, schema, end } = objectAt(structure, at)
      onlyFields(objectAt(structure, at), ['begin', 'schema', 'end'], at)
      const content = { type: 'grammar', grammar: schemaToGrammar(schema, this.options) } as const
      return { type: 'tag', begin: textAt(begin, `${at}/begin`), content, end: textAt(end, `${at}/end`) }
    })
    return { type: 'triggered_tags', triggers: triggersAt(fields['triggers'], '#/triggers', tags), tags }
  }

  private format(value: unknown, { at, depth }: { readonly at: string; readonly depth: number }): TagFormat {
    if (depth > maxDepth) fail(at.slice(0, 200), `is nested deeper than ${maxDepth} levels`)
    if (++this.numFormats > maxFormats) fail(at.slice(0, 200), `is one of more than ${maxFormats} formats`)
    const fields = objectAt(value, at)
    const child = (name: string, item: unknown): TagFormat =>
      this.format(item, { at: `${at}/${name}`, depth: depth + 1 })
    switch (fields['type']) {
      case 'any_text':
        onlyFields(fields, ['type'], at)
        return { type: 'any_text' }
      case 'const_string':
        onlyFields(fields, ['type', 'value'], at)
        return { type: 'const_string', value: textAt(fields['value'], `${at}/value`, false) }
      case 'json_schema':
        onlyFields(fields, ['type', 'json_schema'], at)
        return { type: 'grammar', grammar: schemaToGrammar(fields['json_schema'], this.options) }
      case 'regex':
        onlyFields(fields, ['type', 'pattern'], at)
        return { type: 'grammar', grammar: regexToGrammar(textAt(fields['pattern'], `${at}/pattern`)) }
      case 'grammar':
        onlyFields(fields, ['type', 'grammar'], at)
        return { type: 'grammar', grammar: checkGrammar(textAt(fields['grammar'], `${at}/grammar`)) }
      case 'sequence':
      case 'or': {
        onlyFields(fields, ['type', 'elements'], at)
        const elements = listAt(fields['elements'], `${at}/elements`).map((item, index) =>
          child(`elements/${index}`, item),
        )
        return { type: fields['type'], elements }
      }
      case 'tag':
        onlyFields(fields, ['type', 'begin', 'content', 'end'], at)
        return this.tag(fields, { at, depth })
      case 'triggered_tags': {
        onlyFields(fields, ['type', 'triggers', 'tags', 'at_least_one', 'stop_after_first'], at)
        const rest = this.tags(fields, { at, depth })
        return {
          type: 'triggered_tags',
          triggers: triggersAt(fields['triggers'], `${at}/triggers`, rest.tags),
          ...rest,
        }
      }
      case 'tags_with_separator':
        onlyFields(fields, ['type', 'separator', 'tags', 'at_least_one', 'stop_after_first'], at)
        return {
          type: 'tags_with_separator',
          separator: textAt(fields['separator'], `${at}/separator`),
          ...this.tags(fields, { at, depth }),
        }
      default:
        return fail(`${at}/type`, `is ${shorten(fields['type'])}; known are ${knownTypes}`)
    }
  }

  private tag(fields: Fields, { at, depth }: { readonly at: string; readonly depth: number }): Tag {
    return {
      type: 'tag',
      begin: textAt(fields['begin'], `${at}/begin`),
      content: this.format(fields['content'], { at: `${at}/content`, depth: depth + 1 }),
      end: textAt(fields['end'], `${at}/end`),
    }
  }

  private tags(fields: Fields, { at, depth }: { readonly at: string; readonly depth: number }) {
    const tags = listAt(fields['tags'], `${at}/tags`).map((item, index): Tag => {
      const place = `${at}/tags/${index}`
      const tag = this.format(item, { at: place, depth: depth + 1 })
      return tag.type === 'tag' ? tag : fail(`${place}/type`, `is ${tag.type}; it must be tag`)
    })
    return { tags, ...flagAt(fields, 'at_least_one', at), ...flagAt(fields, 'stop_after_first', at) }
  }
}

const knownTypes =
  'any_text, const_string, json_schema, regex, grammar, sequence, or, tag, triggered_tags and tags_with_separator'

function parseTag(tag: unknown): unknown {
  if (typeof tag !== 'string') return tag
  try {
    return JSON.parse(tag)
  } catch (error) {
    return fail('#', 'is not valid JSON', error)
  }
}

function fail(at: string, reason: string, cause?: unknown): never {
  throw new InvalidRequestError(
    [{ field: 'structuredOutput' }, `: the structural tag's ${at} ${reason}`],
    'structuredOutput',
    { cause },
  )
}

function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`
}

function objectAt(value: unknown, at: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  return fail(at, `is ${shorten(value)}; it must be an object`)
}

function listAt(value: unknown, at: string): readonly unknown[] {
  return Array.isArray(value) && value.length > 0
    ? value
    : fail(at, `is ${shorten(value)}; it must be a list that is not empty`)
}

function textsAt(value: unknown, at: string): readonly string[] {
  return listAt(value, at).map((item, index) => textAt(item, `${at}/${index}`, false))
}

/** The library refuses a trigger of no tag in words that tell nobody why. */
function triggersAt(value: unknown, at: string, tags: readonly Tag[]): readonly string[] {
  const triggers = textsAt(value, at)
  const idle = triggers.findIndex((trigger) => !tags.some(({ begin }) => begin.startsWith(trigger)))
  return idle === -1
    ? triggers
    : fail(`${at}/${idle}`, `is ${shorten(triggers[idle])}, with which no tag begins; leave it out, or add its tag`)
}

function textAt(value: unknown, at: string, canBeEmpty = true): string {
  if (typeof value !== 'string' || (value === '' && !canBeEmpty))
    return fail(at, `is ${shorten(value)}; it must be a ${canBeEmpty ? 'text' : 'text that is not empty'}`)
  if (value.length > maxTextLength) return fail(at, `has ${value.length} characters, more than ${maxTextLength}`)
  return value.isWellFormed() && !value.includes('\0')
    ? value
    : fail(at, 'has half a surrogate pair or a NUL character')
}

function flagAt(fields: Fields, name: string, at: string): Readonly<Record<string, boolean>> {
  const value = fields[name]
  if (value === undefined) return {}
  return typeof value === 'boolean'
    ? { [name]: value }
    : fail(`${at}/${name}`, `is ${shorten(value)}; it must be true or false`)
}

function onlyFields(fields: Fields, names: readonly string[], at: string): void {
  const unknown = Object.keys(fields).find((name) => !names.includes(name))
  if (unknown !== undefined) fail(at, `has the unknown field ${shorten(unknown)}; known are ${names.join(', ')}`)
}
