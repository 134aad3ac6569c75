import { InvalidConfigError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'

/** What a module may bring to an engine. */
export type EngineModuleKind = (typeof engineModuleKinds)[number]

const engineModuleKinds = ['backend', 'executor', 'scheduling-policy'] as const

/** A part of an engine from outside core, as plain data: functions cannot cross to the engine's thread, a module's URL can. */
export interface EngineModule {
  readonly kind: EngineModuleKind
  /** For messages; a backend is chosen by it. */
  readonly name: string
  /** Absolute, such as `import.meta.resolve('./my-executor.js')`. What it must export depends on its kind. */
  readonly url: string
  /** Plain data that is passed to what the module exports, which checks it. */
  readonly options?: Readonly<Record<string, unknown>>
}

/** What a module of some kind must export. */
export interface ModuleExport<T> {
  readonly name: string
  /** What the export must be, for people: 'a function'. */
  readonly shape: string
  isValid(value: unknown): value is T
}

/** Types promise what JavaScript does not keep. @throws InvalidConfigError */
export function checkEngineModules(modules: readonly EngineModule[]): void {
  for (const { kind, name, url, options } of modules) {
    const refuse = (reason: string): never => {
      throw new InvalidConfigError('modules', `the module ${JSON.stringify(name)} ${reason}`)
    }
    if (!engineModuleKinds.includes(kind))
      refuse(`has the kind ${JSON.stringify(kind)}; the known ones are ${engineModuleKinds.join(', ')}`)
    if (typeof name !== 'string' || name === '') refuse('needs a name')
    if (typeof url !== 'string' || !URL.canParse(url))
      refuse(`needs an absolute URL, as import.meta.resolve('./module.js') gives it; got ${JSON.stringify(url)}`)
    try {
      structuredClone(options)
    } catch (error) {
      refuse(`has options that cannot cross to the engine's thread (${messageOf(error)}); pass plain data`)
    }
  }
}

/** @throws InvalidConfigError naming the module, the export and what it must be */
export async function importEngineModule<T>(module: EngineModule, wanted: ModuleExport<T>): Promise<T> {
  const what = `the ${module.kind} module ${JSON.stringify(module.name)} (${module.url})`
  let exports: Readonly<Record<string, unknown>>
  try {
    exports = (await import(module.url)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new InvalidConfigError('modules', `${what} could not be loaded: ${messageOf(error)}`, { cause: error })
  }
  const value = exports[wanted.name]
  if (wanted.isValid(value)) return value
  const found = value === undefined ? `exports no ${wanted.name}` : `exports a ${wanted.name} of another kind`
  throw new InvalidConfigError('modules', `${what} ${found}; it must export one that is ${wanted.shape}`)
}
