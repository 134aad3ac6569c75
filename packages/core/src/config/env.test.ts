import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readEnv } from './env.ts'

const home = mkdtempSync(join(tmpdir(), 'octavo-env-'))
afterAll(() => rmSync(home, { recursive: true }))
mkdirSync(join(home, 'other'))
writeFileSync(join(home, 'token'), 'hf_saved\n')
writeFileSync(join(home, 'other', 'mine'), 'hf_mine')

describe('readEnv', () => {
  it.each([
    ['what the login saved', { HF_HOME: home }, 'hf_saved'],
    ['a file of its own', { HF_HOME: home, HF_TOKEN_PATH: join(home, 'other', 'mine') }, 'hf_mine'],
    ['the variable before the file', { HF_HOME: home, HF_TOKEN: 'hf_set' }, 'hf_set'],
    ['none', { HF_HOME: join(home, 'other') }, null],
  ])('finds the token: %s', (_, env, token) => {
    expect(readEnv(env).hfToken).toBe(token)
  })

  it('reads proxies in either case, lower case first', () => {
    const env = { HF_HOME: home, HTTPS_PROXY: 'http://upper:1', https_proxy: 'http://lower:1', NO_PROXY: 'localhost' }
    expect(readEnv(env).proxy).toEqual({ httpProxy: null, httpsProxy: 'http://lower:1', noProxy: 'localhost' })
  })
})
