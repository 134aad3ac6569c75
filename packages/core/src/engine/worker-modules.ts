import type { BackendProvider } from '../backends/backend-pack.ts'
import type { MoreArchitectures } from '../config/architectures.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { Communicator } from '../layers/communicator.ts'
import type { LinearMethods } from '../layers/linear-method.ts'
import type { ModelDefinition } from '../models/model.ts'
import type { LogitsProcessor } from '../sampling/logits-processor.ts'
import { type Sampler, TokenSampler } from '../sampling/sampler.ts'

/** Of the modules that an engine was given, what each rank uses. */
export interface WorkerModules {
  readonly backends: readonly BackendProvider[]
  /** Beside core's own, and before those of the same name. */
  readonly architectures: MoreArchitectures<ModelDefinition>
  /** Each may wrap the ones before it. */
  readonly linearMethods: readonly ((context: LinearMethodsContext) => LinearMethods)[]
  /** They run in this order. */
  readonly logitsProcessors: readonly ((context: LogitsProcessorsContext) => readonly LogitsProcessor[])[]
  /** `null` = a `TokenSampler`. */
  readonly createSampler: ((context: SamplerContext) => Sampler) | null
}

/** What parts of a rank may depend on besides the options of their module. */
export interface WorkerContext {
  readonly config: ModelConfig
  /** config.json as it is: for sections that only the module reads. */
  readonly hfConfig: Readonly<Record<string, unknown>>
  /** The checkpoint's folder or GGUF file: for files that only the module reads. */
  readonly modelPath: string
}

export interface LinearMethodsContext extends WorkerContext {
  readonly communicator: Communicator
  /** What loads the weights without this module: as stored, or the methods of the module before. */
  readonly linearMethods: LinearMethods
}

export type LogitsProcessorsContext = WorkerContext

export interface SamplerContext extends WorkerContext {
  /** Those of the engine's modules. A sampler runs them, or is no place for them and throws. */
  readonly logitsProcessors: readonly LogitsProcessor[]
}

type ModuleOptions = Readonly<Record<string, unknown>>

/** What a module of kind `linear-methods` exports as `createLinearMethods`. */
export type CreateLinearMethods = (context: LinearMethodsContext, options?: ModuleOptions) => LinearMethods

/** What a module of kind `logits-processors` exports as `createLogitsProcessors`. */
export type CreateLogitsProcessors = (
  context: LogitsProcessorsContext,
  options?: ModuleOptions,
) => readonly LogitsProcessor[]

/** What a module of kind `sampler` exports as `createSampler`. */
export type CreateSampler = (context: SamplerContext, options?: ModuleOptions) => Sampler

/** `linearMethods`: those of the checkpoint, as its quantization wants them. */
export function composeLinearMethods(
  modules: Partial<WorkerModules>,
  { linearMethods: stored, ...context }: LinearMethodsContext,
): LinearMethods {
  const creates = modules.linearMethods ?? []
  return creates.reduce((linearMethods, create) => create({ ...context, linearMethods }), stored)
}

export function composeSampler(modules: Partial<WorkerModules>, context: LogitsProcessorsContext): Sampler {
  const logitsProcessors = (modules.logitsProcessors ?? []).flatMap((create) => create(context))
  return modules.createSampler?.({ ...context, logitsProcessors }) ?? new TokenSampler(logitsProcessors)
}
