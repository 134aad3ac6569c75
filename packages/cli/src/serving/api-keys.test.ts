import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { sha256Of } from '@octavo/server'
import { afterAll, describe, expect, it } from 'vitest'
import { openKeyRing, readKeys } from './api-keys.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-keys-'))
afterAll(() => rmSync(folder, { recursive: true }))

function open(text: string, apiKey: readonly string[] | null = null) {
  const apiKeyFile = path.join(folder, 'keys.yaml')
  writeFileSync(apiKeyFile, text)
  return openKeyRing({ apiKey, apiKeyFile })
}

describe('a key file', () => {
  it.each([
    '- {key: planted, requests-per-minute: 3}\n- other',
    'keys:\n- {key: planted, requests_per_minute: 3, tenant: team}\n- key: other',
    `[{"sha256": "${sha256Of('planted').toString('hex')}"}, "other"]`,
  ])('is a list, in YAML or JSON: %j', async (text) => {
    const ring = open(text, ['third'])
    expect(ring?.size).toBe(3)
    const ask = (key: string) =>
      ring?.authenticate({ headers: { 'x-api-key': key } } as unknown as Parameters<typeof ring.authenticate>[0])
    for (const key of ['planted', 'other', 'third']) expect(await ask(key), key).not.toBeNull()
    expect(await ask('fourth')).toBeNull()
  })

  it.each([
    ['', 'with at least one'],
    ['[]', 'with at least one'],
    ['planted', 'must have a list of keys'],
    ['- {key: planted, requests-per-hour: 3}', 'has a field that is none'],
    ['- {key: "planted ", name: a}', 'white space at an end'],
    ['- {sha256: planted}', '64 hexadecimal digits'],
    ['- {key: planted', 'is no YAML'],
    ['- planted\n- planted', 'are the same key'],
    ['- planted\n-\n', 'key 2 is no text'],
    ['- planted\n- 1e5', 'key 2 is no text'],
    ['- {key: 12345, name: planted}', 'has a wrong field'],
  ])('is refused and not quoted: %j', (text, message) => {
    expect(() => open(text)).toThrow(message)
    expect(() => open(text)).not.toThrow(/planted/)
  })

  it('that is not there is an error, not an open door', () => {
    expect(() => readKeys({ apiKey: null, apiKeyFile: '/no/such/file' })).toThrow('ENOENT')
    expect(openKeyRing({ apiKey: null, apiKeyFile: null })).toBeNull()
  })
})
