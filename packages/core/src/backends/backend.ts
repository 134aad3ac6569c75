import { ready, setBackend } from '@tensorflow/tfjs-core'
import { readEnv } from '../config/env.ts'
import { BackendUnavailableError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import {
  type BackendPack,
  type BackendProbe,
  type BackendProvider,
  type MachineShare,
  wholeMachine,
} from './backend-pack.ts'
import { cpuProvider } from './cpu/cpu-pack.ts'

/** `auto`, or the name of a provider. */
export type BackendChoice = 'auto' | 'cpu' | 'wasm' | 'tensorflow' | (string & {})

/** What was found of one backend. */
export interface BackendReport {
  readonly name: string
  readonly available: boolean
  readonly chosen: boolean
  /** Why it was or was not taken, for people. */
  readonly reason: string
}

/** The active backend, and why it was chosen. */
export interface ChosenBackend {
  readonly pack: BackendPack
  /** Every backend, in the order in which `auto` considers them. */
  readonly report: readonly BackendReport[]
}

/** Loaded only when asked for, so that a broken or missing wasm module leaves the cpu backend usable. */
const lazyWasmProvider: BackendProvider = {
  name: 'wasm',
  priority: 10,
  async probe() {
    const { wasmProvider } = await import('./wasm/wasm-pack.ts')
    return wasmProvider.probe()
  },
  async create() {
    const { wasmProvider } = await import('./wasm/wasm-pack.ts')
    return wasmProvider.create()
  },
}

/** Loaded only when asked for: tfjs-node is an optional peer. */
const lazyTensorflowProvider: BackendProvider = {
  name: 'tensorflow',
  priority: 15,
  async probe(options) {
    const { backendProvider } = await import('./tensorflow/tensorflow-provider.ts')
    return backendProvider.probe(options)
  },
  async create(options) {
    const { backendProvider } = await import('./tensorflow/tensorflow-provider.ts')
    return backendProvider.create(options)
  },
}

const coreProviders = [cpuProvider, lazyWasmProvider, lazyTensorflowProvider]

interface Candidate {
  readonly provider: BackendProvider
  readonly probe: BackendProbe
}

export interface CreateBackendOptions {
  /** Default: the process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Besides core's own. */
  readonly providers?: readonly BackendProvider[]
  /** Default: the whole machine. */
  readonly share?: MachineShare
}

/**
 * Chooses, creates and activates a backend: the explicit `choice`, else `OCTAVO_BACKEND` of `env`, else the available provider with the highest priority that can be created.
 *
 * @throws BackendUnavailableError when a backend chosen by name is unknown or cannot run here.
 */
export async function createBackend(
  choice: BackendChoice = 'auto',
  { env, providers = [], share = wholeMachine }: CreateBackendOptions = {},
): Promise<ChosenBackend> {
  const candidates = await probeCandidates(providers)
  const envChoice = readEnv(env).backend
  const name = choice === 'auto' ? (envChoice ?? 'auto') : choice
  const source = choice === 'auto' ? 'OCTAVO_BACKEND' : 'the backend option'
  return name === 'auto' ? createFirst(candidates, share) : createNamed(candidates, { name, source, share })
}

/** What there is and whether it could run, without creating or activating anything. */
export async function probeBackends(providers: readonly BackendProvider[] = []): Promise<readonly BackendReport[]> {
  return (await probeCandidates(providers)).map(({ provider, probe }) => reportOf(provider, probe, probe.detail))
}

async function probeCandidates(providers: readonly BackendProvider[]): Promise<Candidate[]> {
  const byName = new Map([...coreProviders, ...providers].map((provider) => [provider.name, provider]))
  const candidates = await Promise.all(
    [...byName.values()].map(async (provider) => ({ provider, probe: await probeSafely(provider) })),
  )
  const priorityOf = ({ provider, probe }: Candidate): number => probe.priority ?? provider.priority
  return candidates.sort((a, b) => priorityOf(b) - priorityOf(a))
}

async function probeSafely(provider: BackendProvider): Promise<BackendProbe> {
  try {
    return await provider.probe()
  } catch (error) {
    return { available: false, detail: `its probe failed: ${messageOf(error)}` }
  }
}

async function createFirst(candidates: readonly Candidate[], share: MachineShare): Promise<ChosenBackend> {
  const failures = new Map<string, string>()
  for (const { provider, probe } of candidates) {
    if (!probe.available) continue
    try {
      const pack = await activate(provider, share)
      return { pack, report: reportAll(candidates, provider.name, 'the first of these that works', failures) }
    } catch (error) {
      failures.set(provider.name, messageOf(error))
    }
  }
  throw new BackendUnavailableError(`No backend can run here: ${describe(candidates, failures)}.`)
}

async function createNamed(
  candidates: readonly Candidate[],
  { name, source, share }: { readonly name: string; readonly source: string; readonly share: MachineShare },
): Promise<ChosenBackend> {
  const found = candidates.find(({ provider }) => provider.name === name)
  if (found === undefined) {
    throw new BackendUnavailableError(
      `There is no backend "${name}" (from ${source}). Known here: ${describe(candidates)}. Choose one of these or "auto".`,
    )
  }
  if (!found.probe.available) {
    throw new BackendUnavailableError(
      `The backend "${name}" (from ${source}) cannot run here: ${found.probe.detail}. ` +
        `Known here: ${describe(candidates)}. Choose another or "auto".`,
    )
  }
  try {
    const pack = await activate(found.provider, share)
    return { pack, report: reportAll(candidates, name, `asked for by ${source}`) }
  } catch (error) {
    throw new BackendUnavailableError(
      `The backend "${name}" (from ${source}) could not be created: ${messageOf(error)}. Choose another or "auto".`,
      { cause: error },
    )
  }
}

async function activate(provider: BackendProvider, share: MachineShare): Promise<BackendPack> {
  const pack = await provider.create(undefined, share)
  if (!(await setBackend(pack.name))) throw new Error(`TensorFlow.js did not initialize its backend "${pack.name}"`)
  await ready()
  return pack
}

function reportAll(
  candidates: readonly Candidate[],
  chosen: string,
  reason: string,
  failures: ReadonlyMap<string, string> = new Map(),
): BackendReport[] {
  let isBehindChosen = false
  return candidates.map(({ provider, probe }) => {
    if (provider.name === chosen) {
      isBehindChosen = true
      return { name: provider.name, available: true, chosen: true, reason: `${reason}; ${probe.detail}` }
    }
    const failure = failures.get(provider.name)
    if (failure !== undefined)
      return { ...reportOf(provider, probe, `could not be created: ${failure}`), available: false }
    if (!probe.available) return reportOf(provider, probe, probe.detail)
    const why = isBehindChosen ? `${chosen} comes first` : `${chosen} was asked for`
    return reportOf(provider, probe, `not taken: ${why}; ${probe.detail}`)
  })
}

function reportOf(provider: BackendProvider, probe: BackendProbe, reason: string): BackendReport {
  return { name: provider.name, available: probe.available, chosen: false, reason }
}

function describe(candidates: readonly Candidate[], failures: ReadonlyMap<string, string> = new Map()): string {
  return candidates
    .map(({ provider, probe }) => `${provider.name} (${failures.get(provider.name) ?? probe.detail})`)
    .join(', ')
}
