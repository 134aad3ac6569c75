import type {
  EngineClient,
  EngineMetrics,
  EngineTelemetry,
  GenerateRequest,
  RequestOutput,
  ServedModel,
} from '@octavo/core'
import { addCounters, InvalidConfigError, InvalidRequestError, ModelNotFoundError, unsupportedTask } from '@octavo/core'

interface Route {
  readonly model: ServedModel
  readonly engine: EngineClient
  /** The engine's own name for it. */
  readonly engineModel: string
}

/**
 * Several engines as one, so that a server has several models: `createModelRouter({ small: engineA, large: engineB })`.
 * A key is the name of its engine's model; what else an engine serves beside it (adapters) keeps its own name. Names are
 * read anew for each request, so an engine's models may come and go; of two with one name the first engine's is served.
 * @throws InvalidConfigError without an engine, or where two models have the same name
 */
export function createModelRouter(engines: Readonly<Record<string, EngineClient>>): EngineClient {
  const all = [...new Set(Object.values(engines))]
  if (all.length === 0) throw new InvalidConfigError('engines', 'is empty; pass at least one engine under its name.')
  checkNames(routesOf(engines))
  /** Of the engine that has the model. */
  const ask = async <T>(
    what: string,
    name: string | undefined,
    call: (engine: EngineClient, model: string) => Promise<T> | undefined,
  ): Promise<T> => {
    const { engine, engineModel } = findRoute(routesOf(engines), name)
    const answer = call(engine, engineModel)
    if (answer === undefined) throw new InvalidRequestError(`The engine of this model has no ${what}.`, 'model')
    return answer
  }
  const askAll = async (
    name: 'resetPrefixCache' | 'sleep' | 'wakeUp',
    call: (engine: EngineClient) => Promise<void> | undefined,
  ): Promise<void> => {
    // Before any of them does it.
    if (all.some((engine) => engine[name] === undefined))
      throw new InvalidRequestError('One of the engines of this server does not do this.', null)
    await Promise.all(all.map(call))
  }
  return {
    get models(): readonly ServedModel[] {
      return routesOf(engines).map(({ model }) => model)
    },
    generate: (request, signal) => generate(routesOf(engines), request, signal),
    pool: async (request, signal) => {
      const { engine, engineModel, model } = findRoute(routesOf(engines), request.model)
      if (engine.pool === undefined) throw unsupportedTask(request.params.task, model.tasks)
      return engine.pool({ ...request, model: engineModel }, signal)
    },
    detokenize: (tokenIds, model) => {
      const { engine, engineModel } = findRoute(routesOf(engines), model)
      if (engine.detokenize === undefined)
        throw new InvalidRequestError('This model cannot turn token ids into text; pass the prompt as text.', 'prompt')
      return engine.detokenize(tokenIds, engineModel)
    },
    detokenizeInTurns: (tokenIds, name) =>
      ask('text of token ids', name, (engine, model) => engine.detokenizeInTurns?.(tokenIds, model)),
    tokenize: (request, signal) =>
      ask('tokenize', request.model, (engine, model) => engine.tokenize?.({ ...request, model }, signal)),
    render: (request, signal) =>
      ask('render', request.model, (engine, model) => engine.render?.({ ...request, model }, signal)),
    tokenizerConfig: (name) => ask('tokenizerConfig', name, (engine, model) => engine.tokenizerConfig?.(model)),
    resetPrefixCache: () => askAll('resetPrefixCache', (engine) => engine.resetPrefixCache?.()),
    sleep: (options) => askAll('sleep', (engine) => engine.sleep?.(options)),
    wakeUp: () => askAll('wakeUp', (engine) => engine.wakeUp?.()),
    get isSleeping(): boolean {
      return all.some((engine) => engine.isSleeping === true)
    },
    metrics: () => sumMetrics(all.map((engine) => engine.metrics())),
    telemetry: () => all.flatMap((engine) => telemetryOf(engines, engine)),
    checkHealth: async () => void (await Promise.all(all.map((engine) => engine.checkHealth()))),
    shutdown: async (drain) => void (await Promise.all(all.map((engine) => engine.shutdown(drain)))),
  }
}

function routesOf(engines: Readonly<Record<string, EngineClient>>): Route[] {
  return Object.entries(engines).flatMap(([name, engine]) => {
    const [first, ...others] = engine.models
    if (first === undefined) return []
    // Several names of one model have the same root; the key stands for all of them.
    const kept = others.filter(({ root }) => root !== first.root)
    return [
      { model: { ...first, id: name }, engine, engineModel: first.id },
      ...kept.map((model) => ({ model, engine, engineModel: model.id })),
    ]
  })
}

function checkNames(routes: readonly Route[]): void {
  const seen = new Set<string>()
  for (const { model } of routes) {
    if (seen.has(model.id))
      throw new InvalidConfigError('engines', `two models have the name "${model.id}"; choose other names.`)
    seen.add(model.id)
  }
}

/** @throws ModelNotFoundError that lists the known ones */
function findRoute(routes: readonly Route[], name: string | undefined): Route {
  const route = name === undefined ? routes[0] : routes.find(({ model }) => model.id === name)
  if (route !== undefined) return route
  const known = routes.map(({ model }) => model.id).join(', ')
  throw new ModelNotFoundError(name ?? '', `The model "${name ?? ''}" does not exist; there are: ${known}.`)
}

async function* generate(
  routes: readonly Route[],
  request: GenerateRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<RequestOutput, void, undefined> {
  const { engine, engineModel } = findRoute(routes, request.model)
  yield* engine.generate({ ...request, model: engineModel }, signal)
}

/** Each engine under its key; what is itself several keeps their names. */
function telemetryOf(engines: Readonly<Record<string, EngineClient>>, engine: EngineClient): EngineTelemetry[] {
  const parts = engine.telemetry?.() ?? []
  const key = Object.keys(engines).find((name) => engines[name] === engine)
  return parts.map((part) => (parts.length === 1 && key !== undefined ? { ...part, modelName: key } : part))
}

/** Counters add up; the usage of the caches is that of all their blocks. */
function sumMetrics(all: readonly EngineMetrics[]): EngineMetrics {
  const sum = (pick: (metrics: EngineMetrics) => number): number => all.reduce((total, one) => total + pick(one), 0)
  const numKvBlocks = sum((one) => one.numKvBlocks)
  return {
    ...all.reduce(addCounters),
    numRunningSeqs: sum((one) => one.numRunningSeqs),
    numWaitingSeqs: sum((one) => one.numWaitingSeqs),
    numDeferredSeqs: sum((one) => one.numDeferredSeqs),
    kvCacheUsage: numKvBlocks === 0 ? 0 : sum((one) => one.kvCacheUsage * one.numKvBlocks) / numKvBlocks,
    numKvBlocks,
    numUnfilledKvSlots: sum((one) => one.numUnfilledKvSlots),
  }
}
