import { escapeHtml } from './escape-html.ts'

/** As far as the page shows it. */
export interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly additionalProperties?: JsonSchema | boolean
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly allOf?: readonly JsonSchema[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly description?: string
  readonly [keyword: string]: unknown
}

/** An object's fields as a table, what is within them folded; anything else as a line. */
export function describeSchema(schema: JsonSchema): string {
  const { properties = {}, required = [] } = schema
  const fields = Object.entries(properties)
  if (fields.length === 0) return `<p>${nameOf(schema)}${constraints(schema)}</p>${within(schema)}`
  const rows = fields.map(([name, field]) => {
    const mark = required.includes(name) ? ' <b title="required">*</b>' : ''
    return `<tr><td><code>${escapeHtml(name)}</code>${mark}</td><td>${nameOf(field)}${constraints(field)}${within(field)}</td></tr>`
  })
  return `<table>${rows.join('')}</table>`
}

/** The alternatives of a union, without those that say nothing. */
function branchesOf(schema: JsonSchema): readonly JsonSchema[] {
  const branches = schema.anyOf ?? schema.oneOf
  return branches === undefined ? [schema] : branches.flatMap(branchesOf)
}

function nameOf(schema: JsonSchema): string {
  const names = branchesOf(schema).map(branchName)
  return [...new Set(names)].join(' or ')
}

function branchName({ type, items, enum: choices, const: only }: JsonSchema): string {
  if (choices !== undefined) return choices.map(codeOf).join(', ')
  if (only !== undefined) return codeOf(only)
  if (type === 'array') return items === undefined ? 'list' : `list of (${nameOf(items)})`
  if (type === undefined) return 'anything'
  return typeof type === 'string' ? type : type.join(' or ')
}

const bounds: readonly (readonly [keyword: string, text: string])[] = [
  ['minimum', '≥ '],
  ['exclusiveMinimum', '> '],
  ['maximum', '≤ '],
  ['exclusiveMaximum', '< '],
  ['minLength', 'at least characters: '],
  ['maxLength', 'at most characters: '],
  ['minItems', 'at least entries: '],
  ['maxItems', 'at most entries: '],
  ['pattern', 'matches '],
]

function constraints(schema: JsonSchema): string {
  const texts = branchesOf(schema).flatMap((branch) => [
    ...bounds.flatMap(([keyword, text]) =>
      branch[keyword] === undefined ? [] : [`${text}${codeOf(branch[keyword])}`],
    ),
    ...(branch.description === undefined ? [] : [escapeHtml(branch.description)]),
  ])
  return texts.length === 0 ? '' : ` <span class="dim">${[...new Set(texts)].join('; ')}</span>`
}

/** Objects in a field, in its list, or in one of its alternatives. */
function within(schema: JsonSchema): string {
  const objects = branchesOf(schema).flatMap((branch) => {
    const inner = branch.type === 'array' && branch.items !== undefined ? branchesOf(branch.items) : [branch]
    return inner.filter(({ properties }) => Object.keys(properties ?? {}).length > 0)
  })
  return objects.map((object) => `<details><summary>fields</summary>${describeSchema(object)}</details>`).join('')
}

function codeOf(value: unknown): string {
  return `<code>${escapeHtml(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))}</code>`
}
