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
    await expect(provider?.create(undefined, { numLocalWorkers: 2, numCpuWorkers: 1 })).rejects.toThrow(
      '[{"threads":3},{"numLocalWorkers":2,"numCpuWorkers":1}]',
    )
    expect(createExecutor).toBeNull()
  })

  it.each([
    ['a module that throws', urlOf('throw new Error("no such library")'), /"mine".*no such library/],
    ['a module without a provider', urlOf('export const x = 1'), /exports no backendProvider/],
    ['a module with something else', urlOf('export const backendProvider = { name: "x" }'), /but as something else/],
    ['a file that is not there', 'file:///nowhere/module.js', /nowhere/],
  ])('%s is a backend that is not available', async (_, url, detail) => {
    const { backends } = await loadEngineModules([{ kind: 'backend', name: 'mine', url }])
    expect(await backends[0]?.probe()).toEqual({ available: false, detail: expect.stringMatching(detail) })
    await expect(backends[0]?.create()).rejects.toThrow(detail)
  })

  it('takes one executor', async () => {
    const executor: EngineModule = { kind: 'executor', name: 'a', url: urlOf('export const createExecutor = () => {}') }
    const both = loadEngineModules([executor, { ...executor, name: 'b' }])
    await expect(both).rejects.toThrow(InvalidConfigError)
    await expect(both).rejects.toThrow(/"a" and "b" of the kind executor.*leave the other out/)
  })

  it('adds architectures, each once', async () => {
    const url = urlOf('export const architectures = { Mine: { load() {} } }')
    const module: EngineModule = { kind: 'model', name: 'a', url }
    expect((await loadEngineModules([module])).architectures).toHaveProperty('Mine.load')
    const twice = loadEngineModules([module, { ...module, name: 'b' }])
    await expect(twice).rejects.toThrow(InvalidConfigError)
    await expect(twice).rejects.toThrow(/the model module "b" .* has the architecture "Mine", as one before it/)
    const withOptions = loadEngineModules([{ ...module, options: { x: 1 } }])
    await expect(withOptions).rejects.toThrow(/"a" .* has options, but its architectures take none/)
  })

  it.each([
    ['export const architectures = {}'],
    ['export const architectures = { Mine: {} }'],
    ['export const architectures = null'],
  ])('refuses the model module %s', async (source) => {
    const loaded = loadEngineModules([{ kind: 'model', name: 'mine', url: urlOf(source) }])
    await expect(loaded).rejects.toThrow(InvalidConfigError)
    await expect(loaded).rejects.toThrow(/"mine".*exports architectures, but as something else; .*ModelDefinition/)
  })

  const factories = [
    ['executor', 'createExecutor', '{ maxPlansInFlight: 1, initialize() {}, executeModel() {}, shutdown() {} }'],
    ['linear-methods', 'createLinearMethods', '() => {}'],
    ['logits-processors', 'createLogitsProcessors', '[{ apply() {} }]'],
    ['sampler', 'createSampler', '{ sample() {} }'],
    ['draft-proposer', 'createDraftProposer', '{ propose() {} }'],
    ['scheduling-policy', 'createSchedulingPolicy', "{ name: 'mine', createQueue() {}, chooseVictim() {} }"],
  ] as const

  /** What the module's function makes, given a context. */
  async function make(kind: EngineModule['kind'], source: string): Promise<unknown> {
    const loaded = await loadEngineModules([{ kind, name: 'mine', url: urlOf(source), options: { x: 2 } }])
    const creates = [
      loaded.createExecutor,
      loaded.linearMethods[0],
      loaded.logitsProcessors[0],
      loaded.createSampler,
      loaded.createSchedulingPolicy,
      loaded.createDraftProposer,
    ]
    return creates.find((create) => create != null)?.({ config: 'context' } as never)
  }

  it.each(factories)('passes context and options to the function of a module of kind %s', async (kind, name, body) => {
    const source = `export function ${name}(context, options) {
      if (context.config !== 'context' || options.x !== 2) throw new Error('other arguments')
      return ${body}
    }`
    expect(await make(kind, source)).toBeTruthy()
  })

  it.each(factories)('says what a module of kind %s must export and make', async (kind, name) => {
    const start = `the ${kind} module "mine" .* `
    const missing = make(kind, 'export const x = 1')
    await expect(missing).rejects.toThrow(InvalidConfigError)
    await expect(missing).rejects.toThrow(
      new RegExp(`${start}exports no ${name}; it must export one that is a function \\(context, options\\)`),
    )
    const wrong = make(kind, `export const ${name} = () => ({})`)
    await expect(wrong).rejects.toThrow(InvalidConfigError)
    await expect(wrong).rejects.toThrow(new RegExp(`${start}makes something else by ${name}, which must return `))
  })
})

describe('checkEngineModules', () => {
  const good: EngineModule = { kind: 'backend', name: 'mine', url: 'file:///x.js' }

  it.each([
    [
      { ...good, kind: 'plugin' },
      /"mine" has the kind "plugin"; the known ones are backend, draft-proposer, executor, linear-methods, .*scheduling-policy/,
    ],
    [{ ...good, name: '' }, /needs a name/],
    [{ ...good, url: './x.js' }, /absolute URL.*import\.meta\.resolve.*"\.\/x\.js"/],
    [{ ...good, options: { callback() {} } }, /cannot cross to the engine's thread.*plain data/],
  ])('refuses %j', (module, message) => {
    expect(() => checkEngineModules([good, module as EngineModule])).toThrow(InvalidConfigError)
    expect(() => checkEngineModules([good, module as EngineModule])).toThrow(message)
  })
})
