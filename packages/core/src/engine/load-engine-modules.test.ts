import { describe, expect, it } from 'vitest'
import { checkEngineModules, type EngineModule } from '../config/engine-module.ts'
import { InvalidConfigError } from '../errors.ts'
import { loadEngineModules } from './load-engine-modules.ts'

const urlOf = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`

describe('loadEngineModules', () => {
  it("passes a backend's options and share on and keeps its name", async () => {
    const url = urlOf(`export const backendProvider = {
      name: 'other', priority: 7,
      probe: async (options) => ({ available: true, detail: JSON.stringify(options) }),
      create: async (...given) => { throw new Error(JSON.stringify(given)) },
    }`)
    const { backends, createExecutor } = await loadEngineModules([
      { kind: 'backend', name: 'mine', url, options: { threads: 3 } },
    ])
    const [provider] = backends
    expect(provider).toMatchObject({ name: 'mine', priority: 7 })
    expect(await provider?.probe()).toEqual({ available: true, detail: '{"threads":3}' })
    await expect(provider?.create(undefined, { numLocalWorkers: 2 })).rejects.toThrow(
      '[{"threads":3},{"numLocalWorkers":2}]',
    )
    expect(createExecutor).toBeNull()
  })

  it.each([
    ['a module that throws', urlOf('throw new Error("no such library")'), /"mine".*no such library/],
    ['a module without a provider', urlOf('export const x = 1'), /exports no backendProvider/],
    ['a module with something else', urlOf('export const backendProvider = { name: "x" }'), /of another kind/],
    ['a file that is not there', 'file:///nowhere/module.js', /nowhere/],
  ])('%s is a backend that is not available', async (_, url, detail) => {
    const { backends } = await loadEngineModules([{ kind: 'backend', name: 'mine', url }])
    expect(await backends[0]?.probe()).toEqual({ available: false, detail: expect.stringMatching(detail) })
    await expect(backends[0]?.create()).rejects.toThrow(detail)
  })

  it('gives an executor its options', async () => {
    const url = urlOf('export const createExecutor = (context, options) => ({ context, options })')
    const { createExecutor } = await loadEngineModules([{ kind: 'executor', name: 'mine', url, options: { ranks: 2 } }])
    expect(createExecutor?.({ modelPath: 'm' } as never)).toEqual({
      context: { modelPath: 'm' },
      options: { ranks: 2 },
    })
  })

  it('takes one executor', async () => {
    const executor: EngineModule = { kind: 'executor', name: 'a', url: urlOf('export const createExecutor = () => {}') }
    const both = loadEngineModules([executor, { ...executor, name: 'b' }])
    await expect(both).rejects.toThrow(InvalidConfigError)
    await expect(both).rejects.toThrow(/"a" and "b" of the kind executor.*leave the other out/)
  })

  it('makes a scheduling policy, and says what it must be', async () => {
    const moduleOf = (body: string): EngineModule => ({
      kind: 'scheduling-policy',
      name: 'mine',
      url: urlOf(`export const createSchedulingPolicy = (options) => (${body})`),
      options: { name: 'shortest' },
    })
    const good = moduleOf('{ ...options, createQueue() {}, chooseVictim() {} }')
    expect((await loadEngineModules([good])).schedulingPolicy).toMatchObject({ name: 'shortest' })
    const bad = loadEngineModules([moduleOf('{ ...options }')])
    await expect(bad).rejects.toThrow(InvalidConfigError)
    await expect(bad).rejects.toThrow(/"mine".*createSchedulingPolicy must be .*chooseVictim/)
  })
})

describe('checkEngineModules', () => {
  const good: EngineModule = { kind: 'backend', name: 'mine', url: 'file:///x.js' }

  it.each([
    [
      { ...good, kind: 'plugin' },
      /"mine" has the kind "plugin"; the known ones are backend, executor, scheduling-policy/,
    ],
    [{ ...good, name: '' }, /needs a name/],
    [{ ...good, url: './x.js' }, /absolute URL.*import\.meta\.resolve.*"\.\/x\.js"/],
    [{ ...good, options: { callback() {} } }, /cannot cross to the engine's thread.*plain data/],
  ])('refuses %j', (module, message) => {
    expect(() => checkEngineModules([good, module as EngineModule])).toThrow(InvalidConfigError)
    expect(() => checkEngineModules([good, module as EngineModule])).toThrow(message)
  })
})
