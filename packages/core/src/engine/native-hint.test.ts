import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { nativeHint } from './native-hint.ts'

const native = { kind: 'backend', name: 'native', url: 'file:///native.js' } as const

describe('nativeHint', () => {
  let root: string
  let program: string
  beforeAll(() => {
    root = mkdtempSync(path.join(tmpdir(), 'octavo-hint-'))
    const folder = path.join(root, 'node_modules/@octavo/backend-native')
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'package.json'), '{ "name": "@octavo/backend-native" }')
    program = path.join(root, 'program.js')
    vi.stubEnv('OCTAVO_BACKEND', '')
  })
  afterAll(() => {
    vi.unstubAllEnvs()
    rmSync(root, { recursive: true })
  })

  it('says how to pass the backend that is installed', () => {
    const hint = nativeHint({ wanted: 'auto', backend: 'wasm', modules: [], from: [program] })
    expect(hint).toContain('modules: [nativeBackend]')
    expect(hint).toContain("{ backend: 'wasm' } keeps this one")
  })

  it('says nothing of what was chosen, passed, fast, or not installed', () => {
    const found = { wanted: 'auto', backend: 'wasm', modules: [], from: [program] }
    expect(nativeHint({ ...found, wanted: 'wasm' })).toBe(null)
    expect(nativeHint({ ...found, modules: [native] })).toBe(null)
    expect(nativeHint({ ...found, backend: 'tensorflow' })).toBe(null)
    expect(nativeHint({ ...found, from: [path.resolve('/program.js'), ''] })).toBe(null)
    vi.stubEnv('OCTAVO_BACKEND', 'wasm')
    expect(nativeHint(found)).toBe(null)
  })
})
