import { errorBodySchema, jsonSchemaOf, type WireSchema } from '@octavo/sdk/protocol'
import type { EndpointDescription, KnownEndpoint, Method } from '../known-endpoint.ts'

type Json = Readonly<Record<string, unknown>>

type Content = Readonly<Record<string, { readonly schema: { readonly $ref: string } }>>

export interface OpenApiOperation {
  readonly operationId: string
  readonly summary: string
  readonly tags: readonly string[]
  readonly security?: readonly Json[]
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required: boolean
    readonly schema: Json
  }[]
  readonly requestBody?: { readonly required: true; readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>
}

type PathItem = Readonly<Record<string, OpenApiOperation>>

/** As far as we write it. */
export interface OpenApiDocument {
  readonly openapi: '3.1.1'
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly servers: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, PathItem>>
  readonly components: { readonly schemas: Readonly<Record<string, Json>>; readonly securitySchemes: Json }
}

/** What this server has, in OpenAPI 3.1. */
export function openApiDocument(endpoints: readonly KnownEndpoint[], version: string): OpenApiDocument {
  const schemas = new NamedSchemas()
  const paths = Object.fromEntries(endpoints.map((endpoint) => [pathOf(endpoint.url), pathItem(endpoint, schemas)]))
  return {
    openapi: '3.1.1',
    info: { title: 'Octavo', version, description: 'An inference engine behind the interfaces of OpenAI and vLLM.' },
    servers: [{ url: '/' }],
    paths,
    components: { schemas: schemas.all, securitySchemes },
  }
}

const securitySchemes = {
  key: { type: 'http', scheme: 'bearer', description: 'Where the server asks for keys.' },
  adminKey: { type: 'http', scheme: 'bearer', description: "The operator's." },
}

const security: Readonly<Record<NonNullable<KnownEndpoint['access']>, readonly Json[] | null>> = {
  anyone: null,
  caller: [{ key: [] }, {}],
  admin: [{ adminKey: [] }],
}

/** The schemas of bodies; one that several endpoints have stands there once. */
class NamedSchemas {
  readonly all: Record<string, Json> = {}
  readonly #names = new Map<WireSchema, string>()

  /** A reference to it, by a name like what it is of where it is new. */
  refTo(schema: WireSchema, name: string): { readonly $ref: string } {
    let found = this.#names.get(schema)
    if (found === undefined) {
      found = this.#unusedName(name)
      this.#names.set(schema, found)
      this.all[found] = jsonSchemaOf(schema)
    }
    return { $ref: `#/components/schemas/${found}` }
  }

  #unusedName(name: string): string {
    let unused = name
    for (let i = 2; Object.hasOwn(this.all, unused); i++) unused = `${name}${i}`
    return unused
  }
}

function pathItem(endpoint: KnownEndpoint, schemas: NamedSchemas): PathItem {
  const { methods, url, description } = endpoint
  const operations = methods.flatMap((method) => {
    const described = 'summary' in description ? description : description[method]
    if (described === undefined) return []
    const name = `${pascalCase(withoutVersion(pathOf(url)))}${methods.length > 1 && !('summary' in description) ? pascalCase(method) : ''}`
    return [[method.toLowerCase(), operation(described, { endpoint, method, name, schemas })]]
  })
  return Object.fromEntries(operations) as PathItem
}

interface OperationContext {
  readonly endpoint: KnownEndpoint
  readonly method: Method
  /** From which names of schemas are made. */
  readonly name: string
  readonly schemas: NamedSchemas
}

function operation(description: EndpointDescription, context: OperationContext): OpenApiOperation {
  const { endpoint, method, name, schemas } = context
  const { summary, tag, request, requestType = 'application/json' } = description
  const keys = security[endpoint.access ?? 'caller']
  const parameters = [...pathParameters(endpoint.url), ...queryParameters(description.query)]
  return {
    operationId: `${method.toLowerCase()}${pascalCase(pathOf(endpoint.url))}`,
    summary,
    tags: [tag],
    ...(keys !== null && { security: keys }),
    ...(parameters.length > 0 && { parameters }),
    ...(request !== undefined && {
      requestBody: { required: true, content: { [requestType]: { schema: schemas.refTo(request, `${name}Request`) } } },
    }),
    responses: responses(description, context),
  }
}

function responses(
  { answer, answerType = 'application/json', event, error = errorBodySchema }: EndpointDescription,
  { name, schemas }: OperationContext,
): OpenApiOperation['responses'] {
  const content = {
    ...(answer !== undefined && { [answerType]: { schema: schemas.refTo(answer, `${name}Answer`) } }),
    // OpenAPI 3.1 describes a stream as a whole; this is what the data of each event is.
    ...(event !== undefined && { 'text/event-stream': { schema: schemas.refTo(event, `${name}Event`) } }),
  }
  const errorName = error === errorBodySchema ? 'Error' : `${name}Error`
  return {
    200: { description: 'Success', ...(Object.keys(content).length > 0 && { content }) },
    default: {
      description: 'An error: its status says of what kind',
      content: { 'application/json': { schema: schemas.refTo(error, errorName) } },
    },
  }
}

/** Fastify's `:name` and `*` → OpenAPI's. */
function pathOf(url: string): string {
  return url.replace(/:(\w+)/g, '{$1}').replace(/\*$/, '{name}')
}

function pathParameters(url: string): NonNullable<OpenApiOperation['parameters']>[number][] {
  const names = [...pathOf(url).matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
}

function queryParameters(query: WireSchema | undefined): NonNullable<OpenApiOperation['parameters']>[number][] {
  if (query === undefined) return []
  const { properties = {}, required = [] } = jsonSchemaOf(query) as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

function withoutVersion(path: string): string {
  return path.replace(/^.*\/v\d(?=\/)/, '')
}

/** "/chat/completions" → "ChatCompletions" */
function pascalCase(path: string): string {
  const words = path.split(/[^A-Za-z0-9]+/)
  return words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')
}
