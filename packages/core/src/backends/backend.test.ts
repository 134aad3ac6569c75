import { getBackend } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { BackendUnavailableError } from '../errors.ts'
import { createBackend, probeBackends } from './backend.ts'
import type { BackendProvider } from './backend-pack.ts'
import { createCpuPack } from './cpu/cpu-pack.ts'

function fakeProvider(name: string, changes: Partial<BackendProvider> = {}): BackendProvider {
  return {
    name,
    priority: 99,
    probe: async () => ({ available: true, detail: 'as good as new' }),
    create: createCpuPack,
    ...changes,
  }
}

const absent = fakeProvider('absent', { probe: async () => ({ available: false, detail: 'no such device' }) })
const broken = fakeProvider('broken', { create: async () => Promise.reject(new Error('out of order')) })
const throwing = fakeProvider('throwing', { probe: async () => Promise.reject(new Error('probe fell over')) })

describe('createBackend', () => {
  it('takes and activates an explicitly named backend', async () => {
    const { pack, report } = await createBackend('cpu', { env: { OCTAVO_BACKEND: 'absent' }, providers: [absent] })
    expect(pack.name).toBe('cpu')
    expect(getBackend()).toBe('cpu')
    expect(report.filter(({ chosen }) => chosen).map(({ name }) => name)).toEqual(['cpu'])
    expect(report.find(({ name }) => name === 'cpu')?.reason).toContain('the backend option')
  })

  it('follows OCTAVO_BACKEND where no option names one', async () => {
    const { report } = await createBackend('auto', {
      env: { OCTAVO_BACKEND: 'cpu' },
      providers: [fakeProvider('better')],
    })
    expect(report.find(({ chosen }) => chosen)).toMatchObject({ name: 'cpu' })
    expect(report.find(({ name }) => name === 'better')?.reason).toContain('cpu was asked for')
  })

  it('otherwise takes the highest priority that works, and says why not the others', async () => {
    const best = fakeProvider('best', { priority: 50 })
    const { report } = await createBackend('auto', { env: {}, providers: [best, absent, broken, throwing] })
    expect(report.find(({ chosen }) => chosen)?.name).toBe('best')
    expect(
      report
        .slice(0, 3)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['absent', 'broken', 'throwing'])
    const reasonOf = (wanted: string): string | undefined => report.find(({ name }) => name === wanted)?.reason
    expect(reasonOf('absent')).toBe('no such device')
    expect(reasonOf('broken')).toContain('out of order')
    expect(reasonOf('throwing')).toContain('probe fell over')
    expect(reasonOf('cpu')).toContain('best comes first')
    expect(report.find(({ name }) => name === 'broken')?.available).toBe(false)
  })

  it('goes by the priority that a probe finds', async () => {
    const onCpu = fakeProvider('either', { probe: async () => ({ available: true, detail: 'no GPU', priority: 1 }) })
    const onGpu = fakeProvider('device', {
      priority: 1,
      probe: async () => ({ available: true, detail: 'a GPU', priority: 60 }),
    })
    const { report } = await createBackend('auto', { env: {}, providers: [onCpu, onGpu] })
    expect(report[0]).toMatchObject({ name: 'device', chosen: true })
    expect(report.findIndex(({ name }) => name === 'either')).toBe(report.length - 2)
  })

  it.each([
    ['unknown', 'nonsense', 'There is no backend "nonsense"'],
    ['unavailable', 'absent', 'no such device'],
    ['broken', 'broken', 'out of order'],
  ])('refuses an %s choice and lists what there is', async (_, name, message) => {
    const error = await createBackend(name, { env: {}, providers: [absent, broken] }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(BackendUnavailableError)
    expect(String(error)).toContain(message)
    expect(String(error)).toContain('"auto"')
    const fromEnv = await createBackend('auto', { env: { OCTAVO_BACKEND: name }, providers: [absent, broken] }).catch(
      (reason: unknown) => reason,
    )
    expect(String(fromEnv)).toContain('OCTAVO_BACKEND')
  })
})

describe('probeBackends', () => {
  it('lists all by priority and chooses none', async () => {
    const reports = await probeBackends([absent])
    expect(reports.map(({ name }) => name)).toEqual(['absent', 'tensorflow', 'wasm', 'cpu'])
    expect(reports.some(({ chosen }) => chosen)).toBe(false)
    expect(reports.at(-1)).toMatchObject({ name: 'cpu', available: true })
  })
})
