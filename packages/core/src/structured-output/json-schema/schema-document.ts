import { schemaError } from './schema-error.ts'

export type SchemaObject = Readonly<Record<string | symbol, unknown>>

/** A schema at its place in the document. */
export interface Site {
  readonly id: number
  readonly schema: SchemaObject | boolean
  /** For messages: `#/properties/a`. */
  readonly pointer: string
  readonly resource: Resource
}

/** What `#` means: the nearest schema around with an `$id`, or the whole document. */
interface Resource {
  readonly schema: unknown
  readonly pointer: string
  readonly uri: string
  readonly anchors: Map<string, { readonly schema: unknown; readonly pointer: string }>
}

const maxTextLength = 512 * 1024
const maxDepth = 200
const maxValues = 20_000

/** A JSON Schema document: parsed, measured, its references resolved. */
export class SchemaDocument {
  readonly root: Site
  private readonly sites = new Map<unknown, Site>()
  private readonly resources = new Map<string, Resource>()
  private readonly resourceOf = new Map<unknown, Resource>()
  private numSites = 0
  private numValues = 0

  constructor(schema: unknown) {
    const value = parseSchemaText(schema)
    const resource: Resource = { schema: value, pointer: '#', uri: idOf(value) ?? '', anchors: new Map() }
    this.resources.set(resource.uri, resource)
    this.index(value, { pointer: '#', resource, depth: 0 })
    this.root = this.site(value, '#', resource)
  }

  /** The site of a schema inside the document, or of one made up at a place of it. */
  site(schema: unknown, pointer: string, resource: Resource): Site {
    if (typeof schema !== 'boolean' && !isObject(schema)) {
      throw schemaError([pointer, null], `is ${describe(schema)}; a schema is an object or a boolean`)
    }
    const known = this.sites.get(schema)
    if (known !== undefined) return known
    const site = { id: this.numSites++, schema, pointer, resource: this.resourceOf.get(schema) ?? resource }
    this.sites.set(schema, site)
    return site
  }

  child(parent: Site, schema: unknown, path: string): Site {
    return this.site(schema, `${parent.pointer}/${path}`, parent.resource)
  }

  /** The schema that a `$ref` names. */
  resolve(site: Site, ref: unknown): Site {
    if (typeof ref !== 'string') throw schemaError([site.pointer, '$ref'], `is ${describe(ref)}; it must be a string`)
    const [base, fragment = ''] = splitOnce(ref, '#')
    const resource = base === '' ? site.resource : this.findResource(site.resource, base!)
    if (resource === null) {
      throw schemaError(
        [site.pointer, '$ref'],
        `names another document, ${quote(ref)}, which is not fetched; put its content under "$defs" and name it as "#/$defs/…"`,
      )
    }
    const target = this.findFragment(resource, fragment)
    if (target === null)
      throw schemaError([site.pointer, '$ref'], `names ${quote(ref)}, which the document does not have`)
    return this.site(target.schema, target.pointer, this.resourceOf.get(target.schema) ?? resource)
  }

  private findResource(from: Resource, uri: string): Resource | null {
    return this.resources.get(uri) ?? this.resources.get(resolveUri(uri, from.uri)) ?? null
  }

  private findFragment(resource: Resource, fragment: string): { schema: unknown; pointer: string } | null {
    if (fragment === '') return resource
    if (!fragment.startsWith('/')) return resource.anchors.get(fragment) ?? null
    let schema = resource.schema
    for (const part of fragment.slice(1).split('/')) {
      const name = decodePointer(part)
      if (name === null || typeof schema !== 'object' || schema === null || !Object.hasOwn(schema, name)) return null
      schema = (schema as Record<string, unknown>)[name]
    }
    return { schema, pointer: resource.pointer + fragment }
  }

  private index(
    value: unknown,
    at: { readonly pointer: string; readonly resource: Resource; readonly depth: number },
  ): void {
    if (++this.numValues > maxValues)
      throw schemaError(['#', null], `has more than ${maxValues} values; make it smaller`)
    if (at.depth > maxDepth)
      throw schemaError([at.pointer.slice(0, 200), null], `is nested deeper than ${maxDepth} levels; make it flatter`)
    checkNumber(value, at.pointer)
    if (typeof value !== 'object' || value === null) return
    const resource = isObject(value) ? this.indexSchema(value, at) : at.resource
    for (const [name, child] of Object.entries(value)) {
      // Values that look like schemas are none.
      if (name === 'enum' || name === 'const' || name === 'default' || name === 'examples')
        this.count(child, { pointer: `${at.pointer}/${name}`, depth: at.depth + 1 })
      else this.index(child, { pointer: `${at.pointer}/${encodePointer(name)}`, resource, depth: at.depth + 1 })
    }
  }

  private indexSchema(value: SchemaObject, at: { readonly pointer: string; readonly resource: Resource }): Resource {
    const id = idOf(value)
    let resource = at.resource
    if (id !== null && at.pointer !== '#') {
      resource = { schema: value, pointer: at.pointer, uri: resolveUri(id, at.resource.uri), anchors: new Map() }
      this.resources.set(resource.uri, resource)
    }
    this.resourceOf.set(value, resource)
    for (const anchor of [value['$anchor'], value['$dynamicAnchor'], anchorOf(value)]) {
      if (typeof anchor === 'string') resource.anchors.set(anchor, { schema: value, pointer: at.pointer })
    }
    return resource
  }

  private count(value: unknown, { pointer, depth }: { readonly pointer: string; readonly depth: number }): void {
    if (++this.numValues > maxValues)
      throw schemaError(['#', null], `has more than ${maxValues} values; make it smaller`)
    if (depth > maxDepth) throw schemaError(['#', null], `is nested deeper than ${maxDepth} levels; make it flatter`)
    checkNumber(value, pointer)
    if (typeof value === 'object' && value !== null)
      for (const child of Object.values(value)) this.count(child, { pointer, depth: depth + 1 })
  }
}

function checkNumber(value: unknown, pointer: string): void {
  if (typeof value !== 'number' || Number.isFinite(value)) return
  throw schemaError(
    [pointer.slice(0, 200), null],
    `has the number ${value}, which no JSON can have; write a finite one`,
  )
}

function parseSchemaText(schema: unknown): unknown {
  let text: string | undefined
  try {
    text = typeof schema === 'string' ? schema : JSON.stringify(schema, refuseInfinite)
  } catch (error) {
    throw schemaError(['#', null], 'cannot be written as JSON; pass plain objects and finite numbers', { cause: error })
  }
  if (text === undefined) throw schemaError(['#', null], `is ${describe(schema)}; a schema is an object or a boolean`)
  if (text.length > maxTextLength)
    throw schemaError(['#', null], `has ${text.length} characters of JSON, more than ${maxTextLength}; make it smaller`)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw schemaError(['#', null], 'is not valid JSON', { cause: error })
  }
}

/** `JSON.stringify` writes other numbers as `null`, and then the schema would say something else. */
function refuseInfinite(_name: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} is not a number of JSON`)
  return value
}

/** An `$id` that names a resource: draft-07's `#name` is an anchor. */
function idOf(value: unknown): string | null {
  const id = isObject(value) ? value['$id'] : null
  return typeof id === 'string' && !id.startsWith('#') ? id.replace(/#$/, '') : null
}

function anchorOf(value: SchemaObject): string | null {
  const id = value['$id']
  return typeof id === 'string' && id.startsWith('#') ? id.slice(1) : null
}

function resolveUri(uri: string, base: string): string {
  try {
    return new URL(uri, base === '' ? undefined : base).href
  } catch {
    return uri
  }
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function decodePointer(part: string): string | null {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return null
  }
}

export function encodePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 100)
}

export function isObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value in a message, shortened. */
export function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`
}

function quote(text: string): string {
  return describe(text)
}
