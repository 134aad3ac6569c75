import { createHash } from 'node:crypto'
import { describeSchema, type JsonSchema } from './describe-schema.ts'
import { escapeHtml } from './escape-html.ts'
import type { OpenApiDocument, OpenApiOperation } from './openapi-document.ts'

const style = `
:root { color-scheme: light dark; --line: #8884; --dim: #777 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
code { font: 13px/1.4 ui-monospace, monospace }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
details { margin: .4rem 0; padding-left: .6rem; border-left: 2px solid var(--line) }
summary { cursor: pointer }
.method { display: inline-block; min-width: 4.2rem; font-weight: 600 }
.dim { color: var(--dim) }
table { border-collapse: collapse; margin: .3rem 0 .8rem }
td { border-top: 1px solid var(--line); padding: .2rem .8rem .2rem 0; vertical-align: top }
h4 { margin: .8rem 0 .2rem }
`

/** The page's own: nothing is loaded, and nothing runs. */
export const docsPageHeaders = {
  'content-security-policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
}

/** /openapi.json for people: one page without scripts. */
export function docsPage(document: OpenApiDocument): string {
  const byTag = new Map<string, string[]>()
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const [tag = ''] = operation.tags
      const entries = byTag.get(tag) ?? []
      byTag.set(tag, entries)
      entries.push(operationHtml({ method, path, operation, document }))
    }
  }
  const sections = [...byTag].map(([tag, entries]) => `<h2>${escapeHtml(tag)}</h2>\n${entries.join('\n')}`)
  const { title, version, description } = document.info
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}: endpoints</title><style>${style}</style></head>
<body>
<h1>${escapeHtml(title)} <span class="dim">${escapeHtml(version)}</span></h1>
<p>${escapeHtml(description)} For programs: <a href="openapi.json">openapi.json</a>.</p>
${sections.join('\n')}
</body>
</html>
`
}

interface OperationEntry {
  readonly method: string
  readonly path: string
  readonly operation: OpenApiOperation
  readonly document: OpenApiDocument
}

function operationHtml({ method, path, operation, document }: OperationEntry): string {
  const { summary, requestBody, responses, parameters = [], security } = operation
  const resolve = ({ $ref }: { readonly $ref: string }): JsonSchema =>
    document.components.schemas[$ref.replace(/^.*\//, '')] ?? {}
  const bodies = (title: string, content: OpenApiOperation['responses'][string]['content'] = {}): string =>
    Object.entries(content)
      .map(
        ([type, { schema }]) =>
          `<h4>${title} <code class="dim">${escapeHtml(type)}</code></h4>${describeSchema(resolve(schema))}`,
      )
      .join('')
  const query = { type: 'object', properties: Object.fromEntries(parameters.map(({ name, schema }) => [name, schema])) }
  const parts = [
    security === undefined
      ? ''
      : `<p class="dim">Needs ${'adminKey' in (security[0] ?? {}) ? 'the operator’s key' : 'a key, where keys are asked for'}.</p>`,
    parameters.length === 0 ? '' : `<h4>Parameters</h4>${describeSchema(query)}`,
    bodies('Request', requestBody?.content),
    bodies('Answer', responses['200']?.content),
  ]
  const name = `<span class="method">${method.toUpperCase()}</span><code>${escapeHtml(path)}</code>`
  return `<details><summary>${name} <span class="dim">${escapeHtml(summary)}</span></summary>${parts.join('')}</details>`
}
