import { createRequire } from 'node:module'
import os from 'node:os'
import {
  availableMemory,
  type BackendReport,
  createBackend,
  engineOptionTable,
  formatBytes,
  loadEngineModules,
  OctavoError,
} from '@octavo/core'
import { describeTensorflow, type TensorflowDescription } from '@octavo/core/tensorflow'
import { findMpiLibraries, type MpiLibrary } from '@octavo/parallel/executor'
import type { Command } from 'commander'
import { backendModules, type BackendFlags } from '../backend-modules.ts'
import { backendOptionTable } from '../flags/backend-options.ts'
import { addOptionFlags } from '../flags/option-flags.ts'
import { formatMpi } from '../ui/format-mpi.ts'
import { formatTensorflow } from '../ui/format-tensorflow.ts'
import { readVersion } from '../version.ts'

/** What a report of a problem should begin with. */
interface Environment {
  readonly octavo: string
  readonly node: string
  readonly v8: string
  readonly platform: string
  readonly cpu: string
  readonly numCores: number
  readonly totalMemoryBytes: number
  readonly freeMemoryBytes: number
  readonly packages: Readonly<Record<string, string>>
  readonly tensorflow: TensorflowDescription
  readonly mpi: readonly MpiLibrary[]
  /** In the order in which `--backend auto` considers them. */
  readonly backends: readonly BackendReport[]
  /** Why no backend could be chosen, else null. */
  readonly backendError: string | null
}

const reportedPackages = ['@octavo/core', '@octavo/backend-native', '@octavo/parallel', '@octavo/server']

interface EnvFlags extends BackendFlags {
  readonly backend?: string
  readonly json?: boolean
}

export function addEnvCommand(program: Command): void {
  const command = program
    .command('env')
    .description('show what this machine offers and which backend would be used')
    .option('--json', 'as JSON')
  addOptionFlags(command, { backend: engineOptionTable.backend, ...backendOptionTable }).action(
    async ({ json = false, ...flags }: EnvFlags) => {
      const environment = await describeEnvironment(flags)
      process.stdout.write(json ? `${JSON.stringify(environment, null, 2)}\n` : format(environment))
      // Backends may hold worker threads of their own.
      process.exit(environment.backendError === null ? 0 : 1)
    },
  )
}

async function describeEnvironment(flags: EnvFlags): Promise<Environment> {
  const cpus = os.cpus()
  return {
    octavo: readVersion(),
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch}, ${os.type()} ${os.release()}`,
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    numCores: os.availableParallelism(),
    totalMemoryBytes: os.totalmem(),
    freeMemoryBytes: availableMemory(),
    packages: Object.fromEntries(reportedPackages.map((name) => [name, versionOf(name)])),
    tensorflow: describeTensorflow(),
    mpi: await findMpiLibraries(),
    ...(await describeBackends(flags)),
  }
}

async function describeBackends(flags: EnvFlags): Promise<Pick<Environment, 'backends' | 'backendError'>> {
  try {
    const { backends: providers } = await loadEngineModules(backendModules(flags))
    const { report } = await createBackend(flags.backend ?? engineOptionTable.backend.default, { providers })
    return { backends: report, backendError: null }
  } catch (error) {
    if (!OctavoError.isInstance(error)) throw error
    return { backends: [], backendError: error.message }
  }
}

function versionOf(name: string): string {
  const { version } = createRequire(import.meta.url)(`${name}/package.json`) as { version: string }
  return version
}

function format(environment: Environment): string {
  const { packages, backends, backendError } = environment
  const rows: [string, string][] = [
    ['octavo', environment.octavo],
    ['node', `${environment.node} (V8 ${environment.v8})`],
    ['platform', environment.platform],
    ['cpu', `${environment.cpu}, ${environment.numCores} cores`],
    ['memory', `${formatBytes(environment.totalMemoryBytes)}, ${formatBytes(environment.freeMemoryBytes)} free`],
    ...Object.entries(packages),
    ['tensorflow', formatTensorflow(environment.tensorflow)],
    ['mpi', formatMpi(environment.mpi)],
  ]
  const backendRows = backends.map(
    ({ name, chosen, available, reason }) => `  ${chosen ? '*' : available ? '+' : '-'} ${name}: ${reason}`,
  )
  if (backendError !== null) backendRows.push(`  ${backendError}`)
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}${value}`)
  return [...lines, '', 'backends (* taken, + could be, - cannot):', ...backendRows, ''].join('\n')
}
