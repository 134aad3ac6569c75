// Child processes that never outlive this one: each leads a group of its own, which gets our signals and is swept when it ends.
import { spawn } from 'node:child_process'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Something the reader can act on; shown without a stack. */
export class Failure extends Error {}

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** What this script keeps between runs: pnpm, and the last test summary. */
export const stateFolder = path.join(root, 'node_modules', '.octavo')

const isWindows = process.platform === 'win32'
const graceMs = 10_000
/** A terminal's Ctrl-C reaches us once directly and once more through npm: within this time it is one and the same. */
const sameSignalMs = 500

/** child → whether it may take its time to end (the server drains). */
const running = new Map()
let interruption = null

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt(signal))
// npm runs us through a shell, which passes no signal on: when the shell is gone, so is the one who wanted this.
const parent = process.ppid
if (process.env.npm_lifecycle_event !== undefined) {
  setInterval(() => {
    if (process.ppid !== parent && interruption === null) interrupt('SIGTERM')
  }, 500).unref()
}
process.on('exit', () => {
  for (const child of running.keys()) killGroup(child, 'SIGKILL')
})

/** The signal that asked us to end, or null. */
export function interruptedBy() {
  return interruption?.signal ?? null
}

export function exitCodeOf(signal) {
  return 128 + (os.constants.signals[signal] ?? 0)
}

/** PATH begins with the workspace's programs, among them the Node that everything runs on, and the pinned pnpm. */
export function toolEnv() {
  const nodeFolder = isWindows
    ? path.join(root, 'node_modules', 'node', 'bin')
    : path.join(root, 'node_modules', '.bin')
  const folders = [nodeFolder, path.join(root, 'node_modules', '.bin'), path.join(stateFolder, 'node_modules', '.bin')]
  // On Windows the variable may be spelled Path.
  const name = Object.keys(process.env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH'
  return {
    ...process.env,
    [name]: [...folders, process.env[name] ?? ''].join(path.delimiter),
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
    DO_NOT_TRACK: '1',
  }
}

/**
 * Starts a program in the repository. `quiet` keeps its output to show only if it fails; `onLine` is given each line of it
 * meanwhile; `ipc` opens a message channel; `mayDrain` lets it end in its own time after a signal.
 */
export function start(command, args, options = {}) {
  const { quiet = false, onLine = null, ipc = false, mayDrain = false, cwd = root, env = {} } = options
  if (interruption !== null) throw new Failure('interrupted')
  const output = quiet ? 'pipe' : 'inherit'
  const child = spawn(isWindows ? `"${command}"` : command, args, {
    cwd,
    env: { ...toolEnv(), ...env },
    stdio: ipc ? ['ignore', output, output, 'ipc'] : ['ignore', output, output],
    detached: !isWindows,
    shell: isWindows && !command.endsWith('.exe') && !ipc,
  })
  running.set(child, mayDrain)
  const chunks = []
  if (quiet) for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => chunks.push(chunk))
  if (quiet && onLine !== null) createInterface({ input: child.stdout }).on('line', onLine)
  const done = new Promise((resolve, reject) => {
    child.once('error', (error) => {
      running.delete(child)
      reject(new Failure(`${command} could not be started: ${error.message}`))
    })
    child.once('close', (code, signal) => {
      killGroup(child, 'SIGKILL')
      running.delete(child)
      resolve({ code: code ?? exitCodeOf(signal), output: Buffer.concat(chunks).toString() })
    })
  })
  return { child, done }
}

/** Runs a program to its end. @throws Failure when we were interrupted meanwhile. */
export async function run(command, args, options = {}) {
  const result = await start(command, args, options).done
  if (interruption !== null) throw new Failure('interrupted')
  return result
}

function interrupt(signal) {
  const now = Date.now()
  if (interruption === null) {
    interruption = { signal, at: now }
    for (const child of running.keys()) killGroup(child, signal)
    setTimeout(() => {
      for (const [child, mayDrain] of running) if (!mayDrain) killGroup(child, 'SIGKILL')
    }, graceMs).unref()
    if (running.size === 0) process.exit(exitCodeOf(signal))
  } else if (now - interruption.at > sameSignalMs) {
    process.exit(exitCodeOf(signal))
  }
}

function killGroup(child, signal) {
  if (child.pid === undefined) return
  try {
    if (isWindows) child.kill(signal)
    else process.kill(-child.pid, signal)
  } catch (error) {
    // ESRCH: all of the group is gone already; EPERM: macOS says this of a group of zombies.
    if (error.code !== 'ESRCH' && error.code !== 'EPERM') throw error
  }
}
