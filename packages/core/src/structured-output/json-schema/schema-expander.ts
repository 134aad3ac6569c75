import { intersectDfas, subtractDfa, anyText, type Dfa } from '../automaton/dfa.ts'
import { parseRegex, RegexError } from '../regex/regex-parser.ts'
import { regexToDfa } from '../regex/regex-to-dfa.ts'
import type { WorkBudget } from '../work-budget.ts'
import { anyValue, canonicalText, type Alternative, type JsonValue, type SchemaNode } from './alternative.ts'
import { stringFormats } from './formats.ts'
import { tryIntersect } from './intersect.ts'
import { checkKeywords, readEntries, readList, readNames } from './keywords.ts'
import { negate } from './negate.ts'
import { ownAlternatives } from './own-alternatives.ts'
import { encodePointer, type SchemaDocument, type SchemaObject, type Site } from './schema-document.ts'
import type { SchemaGrammarOptions } from './schema-grammar-options.ts'
import { schemaError } from './schema-error.ts'

/** More than a person writes; each costs a rule and a pass over the vocabulary. */
const maxAlternatives = 256

/** References to references. */
const maxExpansionDepth = 256

/** Branches of a `oneOf` that must not share a value. */
export interface ExclusiveBranches {
  readonly site: Site
  readonly branches: readonly (readonly Alternative[])[]
}

/** Turns schemas into unions of alternatives of one type each. */
export class SchemaExpander {
  readonly document: SchemaDocument
  readonly options: SchemaGrammarOptions
  readonly budget: WorkBudget
  /** What is left to prove once all is known. */
  readonly exclusive: ExclusiveBranches[] = []
  private readonly ofSite = new Map<Site, readonly Alternative[]>()
  private readonly ofNode = new Map<string, readonly Alternative[]>()
  private readonly expanding = new Set<Site>()
  private readonly languages = new Map<string, Dfa>()
  private readonly overlapping: ReadonlySet<Site>

  /** `overlapping`: schemas whose `oneOf` has branches that may share values, which are to be taken out. */
  constructor(
    document: SchemaDocument,
    {
      options,
      budget,
      overlapping,
    }: { readonly options: SchemaGrammarOptions; readonly budget: WorkBudget; readonly overlapping: ReadonlySet<Site> },
  ) {
    this.document = document
    this.options = options
    this.budget = budget
    this.overlapping = overlapping
  }

  node(sites: readonly Site[]): SchemaNode {
    const unique = [...new Set(sites)].filter((site) => site.schema !== true).sort((a, b) => a.id - b.id)
    return { key: unique.map((site) => site.id).join(','), sites: unique }
  }

  /** The ways to be valid by all schemas of a node. */
  alternatives(node: SchemaNode): readonly Alternative[] {
    const known = this.ofNode.get(node.key)
    if (known !== undefined) return known
    let result = anyValue
    for (const site of node.sites) result = this.intersect(result, this.expand(site), site)
    this.ofNode.set(node.key, result)
    return result
  }

  private expand(site: Site): readonly Alternative[] {
    const known = this.ofSite.get(site)
    if (known !== undefined) return known
    if (this.expanding.has(site)) {
      throw schemaError([site.pointer, '$ref'], 'leads back to itself without a property or an item between')
    }
    if (this.expanding.size >= maxExpansionDepth) {
      throw schemaError(
        [site.pointer, null],
        `lies behind more than ${maxExpansionDepth} nested schemas and references; make the schema flatter`,
      )
    }
    this.budget.place = `the schema at ${site.pointer}`
    this.budget.spend(10)
    this.expanding.add(site)
    const result =
      typeof site.schema === 'boolean' ? (site.schema ? anyValue : []) : this.expandObject(site, site.schema)
    this.expanding.delete(site)
    this.ofSite.set(site, result)
    return result
  }

  private expandObject(site: Site, schema: SchemaObject): readonly Alternative[] {
    checkKeywords(site)
    const { document } = this
    const child = (value: unknown, path: string): readonly Alternative[] =>
      this.expand(document.child(site, value, path))
    let result = ownAlternatives(site, schema, this)
    const narrow = (others: readonly Alternative[]): void => {
      result = this.intersect(result, others, site)
    }
    const values = schema['const'] === undefined ? readList(schema, 'enum', site) : [schema['const']]
    if (values !== null) {
      narrow(uniqueConsts(values as readonly JsonValue[]))
      if (schema['const'] !== undefined && schema['enum'] !== undefined)
        narrow(uniqueConsts(readList(schema, 'enum', site) as readonly JsonValue[]))
    }
    if (schema['$ref'] !== undefined) narrow(this.expand(document.resolve(site, schema['$ref'])))
    readList(schema, 'allOf', site)?.forEach((branch, index) => narrow(child(branch, `allOf/${index}`)))
    const anyOf = readList(schema, 'anyOf', site)
    if (anyOf !== null)
      narrow(
        this.union(
          anyOf.map((branch, index) => child(branch, `anyOf/${index}`)),
          site,
        ),
      )
    const oneOf = readList(schema, 'oneOf', site)
    if (oneOf !== null) result = this.union(this.expandOneOf(site, oneOf, result), site)
    if (schema['not'] !== undefined) narrow(this.expandNegated(document.child(site, schema['not'], 'not')))
    if (schema['if'] !== undefined) narrow(this.expandIf(site, schema))
    for (const condition of this.dependencies(site, schema)) narrow(condition)
    return result
  }

  private expandOneOf(
    site: Site,
    oneOf: readonly unknown[],
    common: readonly Alternative[],
  ): (readonly Alternative[])[] {
    const sites = oneOf.map((branch, index) => this.document.child(site, branch, `oneOf/${index}`))
    const branches = sites.map((branch) => this.intersect(common, this.expand(branch), site))
    if (!this.overlapping.has(site)) {
      this.exclusive.push({ site, branches })
      return branches
    }
    const negated = sites.map((branch) => this.expandNegated(branch))
    return branches.map((branch, index) =>
      negated.reduce((rest, other, at) => (at === index ? rest : this.intersect(rest, other, site)), branch),
    )
  }

  private expandNegated(site: Site): readonly Alternative[] {
    checkKeywords(site)
    return this.expand(this.document.site(negate(site, this.document), site.pointer, site.resource))
  }

  private expandIf(site: Site, schema: SchemaObject): readonly Alternative[] {
    const condition = this.document.child(site, schema['if'], 'if')
    if (schema['then'] === undefined && schema['else'] === undefined) return anyValue
    const then = this.expand(this.document.child(site, schema['then'] ?? true, 'then'))
    const otherwise = this.expand(this.document.child(site, schema['else'] ?? true, 'else'))
    return this.union(
      [
        this.intersect(this.expand(condition), then, site),
        this.intersect(this.expandNegated(condition), otherwise, site),
      ],
      site,
    )
  }

  /** Each: the property is absent, or what depends on it holds. */
  private dependencies(site: Site, schema: SchemaObject): (readonly Alternative[])[] {
    const entries = ['dependentRequired', 'dependentSchemas', 'dependencies'].flatMap((keyword) =>
      readEntries(schema, keyword, site).map(([name, value]) => ({ keyword, name, value })),
    )
    return entries.map(({ keyword, name, value }) => {
      const path = `${keyword}/${encodePointer(name)}`
      const isNames = keyword === 'dependentRequired' || (keyword === 'dependencies' && Array.isArray(value))
      const dependent = isNames ? { required: readNames(value, path, site) } : value
      const absent = this.expand(this.document.child(site, { properties: { [name]: false } }, path))
      const present = this.expand(this.document.child(site, { required: [name], properties: { [name]: true } }, path))
      const held = this.intersect(present, this.expand(this.document.child(site, dependent, path)), site)
      return this.union(
        [absent, held.filter((alternative) => alternative.type === 'object' || isConstObject(alternative))],
        site,
      )
    })
  }

  private union(branches: readonly (readonly Alternative[])[], site: Site): readonly Alternative[] {
    const seen = new Set<string>()
    return this.limit(
      branches.flat().filter((alternative) => {
        if (alternative.type !== 'const') return true
        const text = canonicalText(alternative.value)
        return !seen.has(text) && seen.add(text)
      }),
      site,
    )
  }

  private intersect(a: readonly Alternative[], b: readonly Alternative[], site: Site): readonly Alternative[] {
    if (a === anyValue) return b
    if (b === anyValue) return a
    this.budget.spend(a.length * b.length)
    return this.limit(
      a.flatMap((left) =>
        b.flatMap((right) => {
          const both = tryIntersect(left, right, { expander: this, pointer: site.pointer })
          return both === null ? [] : [both]
        }),
      ),
      site,
    )
  }

  private limit(alternatives: readonly Alternative[], site: Site): readonly Alternative[] {
    const number = alternatives.filter((alternative) => alternative.type !== 'const').length
    if (number > maxAlternatives) {
      throw schemaError(
        [site.pointer, null],
        `comes to ${number} combined alternatives, more than ${maxAlternatives}; combine fewer anyOf, oneOf, if and type lists`,
      )
    }
    return alternatives
  }

  language(kind: 'pattern' | 'format' | 'except', text: string, site: Site): Dfa {
    const key = `${kind} ${text}`
    let language = this.languages.get(key)
    if (language === undefined) {
      this.budget.place = `"${kind}" of the schema at ${site.pointer}`
      try {
        const node = parseRegex(kind === 'format' ? stringFormats.get(text)! : text)
        language = regexToDfa(node, { isWhole: kind === 'format', budget: this.budget })
      } catch (error) {
        if (!(error instanceof RegexError)) throw error
        throw schemaError([site.pointer, 'pattern'], `cannot be enforced: ${error.message}; write it without`, {
          cause: error,
        })
      }
      if (kind === 'except') language = subtractDfa(anyText, language, this.budget)
      this.languages.set(key, language)
    }
    return language
  }

  /** The texts that a string of all these languages may be. */
  intersectLanguages(languages: readonly Dfa[]): Dfa {
    return languages.reduce((a, b) => intersectDfas(a, b, this.budget), anyText)
  }
}

function uniqueConsts(values: readonly JsonValue[]): readonly Alternative[] {
  const unique = new Map(values.map((value) => [canonicalText(value), value]))
  return [...unique.values()].map((value) => ({ type: 'const', value }))
}

function isConstObject(alternative: Alternative): boolean {
  return (
    alternative.type === 'const' &&
    typeof alternative.value === 'object' &&
    alternative.value !== null &&
    !Array.isArray(alternative.value)
  )
}
