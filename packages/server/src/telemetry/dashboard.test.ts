import { readFileSync } from 'node:fs'
import { AsyncEngine, silentLogger } from '@octavo/core'
import { beforeAll, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { ReadMetrics } from '../testing/read-metrics.ts'

const root = new URL('../../../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

let metrics: ReadMetrics
beforeAll(async () => {
  const engine = await AsyncEngine.create({ model: 'octavo-tiny' }, { logger: silentLogger })
  const app = createApp({ engine })
  await app.inject({ method: 'POST', url: '/v1/completions', payload: { prompt: 'a', max_tokens: 2 } })
  metrics = new ReadMetrics((await app.inject({ url: '/metrics' })).body)
  await app.close()
  await engine.shutdown()
})

/** Names with labels, as PromQL has them. */
function check(expression: string): void {
  const bare = expression.replaceAll(/\[[^\]]*\]|"[^"]*"/g, '')
  const names = [...bare.matchAll(/(?:vllm:|http_|process_|nodejs_)\w+/g)].map(([name]) => name)
  expect(names, expression).not.toEqual([])
  for (const name of names) {
    const series = metrics.series.filter((one) => one.split('{', 1)[0] === name)
    expect(series.length, `${name} in ${expression}`).toBeGreaterThan(0)
    const labels = [...bare.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', '))
    const matched = [...bare.matchAll(/[{,]\s*(\w+)\s*[=!]/g)].map(([, label = '']) => label)
    for (const label of [...labels, ...matched]) expect(series[0], expression).toContain(`${label}="`)
  }
}

it('asks in Grafana for nothing that is not exported', () => {
  const { panels } = JSON.parse(read('deploy/grafana/octavo.json')) as {
    panels: { targets?: { expr: string }[] }[]
  }
  const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  expect(expressions.length).toBeGreaterThan(30)
  for (const expression of expressions) check(expression)
})

it('names in the alerts of the documentation nothing that is not exported', () => {
  const expressions = [...read('docs/operations.md').matchAll(/^ +expr: (.*)$/gm)].map(([, expr = '']) => expr)
  expect(expressions.length).toBeGreaterThan(5)
  for (const expression of expressions) check(expression)
})

it('lists in the documentation what is exported, all of it and nothing else', () => {
  const exported = [...metrics.types.keys()].filter((name) => name.startsWith('vllm:'))
  const rows = [...read('docs/operations.md').matchAll(/^\| (`vllm:[^|]*)\|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/vllm:\w+/g)].map(([name]) => name),
  )
  // What octavo-tiny has none of: drafts.
  const always = rows.filter((name) => !name.startsWith('vllm:spec_decode_'))
  expect(always.sort()).toEqual(exported.sort())
})
