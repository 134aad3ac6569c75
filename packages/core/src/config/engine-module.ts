import { InvalidConfigError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'

/** What a module may bring to an engine. */
export type EngineModuleKind = (typeof engineModuleKinds)[number]

const engineModuleKinds = [
  'backend',
  'draft-proposer',
  'executor',
  'linear-methods',
  'logits-processors',
  'model',
  'sampler',
  'scheduling-policy',
] as const

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

/** What a module of some kind must export a function `(context, options)` for. */
export interface ModuleFactory<Context, Made> {
  /** Of the function. */
  readonly name: string
  /** What it must return, for people: 'a Sampler: { sample() }'. */
  readonly makes: string
  isValid(value: unknown): value is Made
  /** Types alone. */
  readonly context?: Context
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
  let exports: Readonly<Record<string, unknown>>
  try {
    exports = (await import(module.url)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw moduleError(module, `could not be loaded: ${messageOf(error)}`, { cause: error })
  }
  const value = exports[wanted.name]
  if (wanted.isValid(value)) return value
  const found = value === undefined ? `exports no ${wanted.name}` : `exports ${wanted.name}, but as something else`
  throw moduleError(module, `${found}; it must export one that is ${wanted.shape}`)
}

/**
 * The function that a module exports, which gets the module's options too.
 * @throws InvalidConfigError as `importEngineModule`; the function throws it where it makes something else
 */
export async function importModuleFactory<Context, Made>(
  module: EngineModule,
  { name, makes, isValid }: ModuleFactory<Context, Made>,
): Promise<(context: Context) => Made> {
  const create = await importEngineModule(module, {
    name,
    shape: `a function (context, options) that returns ${makes}`,
    isValid: (value): value is (context: Context, options: EngineModule['options']) => unknown =>
      typeof value === 'function',
  })
  return (context) => {
    const made = create(context, module.options)
    if (isValid(made)) return made
    throw moduleError(module, `makes something else by ${name}, which must return ${makes}`)
  }
}

export function moduleError(module: EngineModule, reason: string, options?: ErrorOptions): InvalidConfigError {
  const what = `the ${module.kind} module ${JSON.stringify(module.name)} (${module.url})`
  return new InvalidConfigError('modules', `${what} ${reason}`, options)
}

/** An object that has these functions, its own or its class's. */
export function hasFunctions(value: unknown, ...names: readonly string[]): value is object {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof Reflect.get(value, name) === 'function')
}
