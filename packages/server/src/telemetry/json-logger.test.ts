import { expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { atLevel } from './at-level.ts'
import { createJsonLogger } from './json-logger.ts'

function collected(level?: 'debug' | 'info' | 'warn' | 'error') {
  const lines: string[] = []
  const logger = createJsonLogger({ ...(level && { level }), stream: { write: (line) => void lines.push(line) } })
  return { logger, entries: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>), lines }
}

it('writes a line for each message, its time included, and parts instead of sentences', () => {
  const { logger, entries } = collected()
  logger.info('hello "you"\n')
  logger.warn('POST /path 200', { event: 'request', status: 200, route: null })
  logger.debug('no')
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string
  expect(entries()).toEqual([
    { level: 'info', time, msg: 'hello "you"\n' },
    { level: 'warn', time, msg: 'request', status: 200, route: null },
  ])
})

it('leaves out what is less important', () => {
  const { logger, entries } = collected('warn')
  for (const level of ['debug', 'info', 'warn', 'error'] as const) logger[level](level)
  expect(entries().map(({ msg }) => msg)).toEqual(['warn', 'error'])
  const filtered = collected('debug')
  const passed = atLevel(filtered.logger, 'error')
  for (const level of ['debug', 'info', 'warn', 'error'] as const) passed[level](level, { event: level, n: 1 })
  expect(filtered.entries()).toMatchObject([{ msg: 'error', n: 1 }])
  expect(passed.hasTime).toBe(true)
})

it('names an unexpected failure and its place, never its message', async () => {
  const { logger, entries, lines } = collected()
  const error = new TypeError('planted words\n    at planted (line)')
  const app = createApp({ engine: new FakeEngine({ failure: { atToken: 0, error } }), logger })
  const headers = { 'x-request-id': 'mine' }
  await app.inject({ method: 'POST', url: '/v1/completions', payload: { prompt: 'a' }, headers })
  expect(entries()).toMatchObject([
    { level: 'error', msg: 'failure', requestId: 'mine', error: 'TypeError', frames: expect.any(Array) as string[] },
    { level: 'info', msg: 'request', requestId: 'mine', status: 500, route: '/v1/completions' },
  ])
  expect(lines.join('')).not.toContain('planted')
})
