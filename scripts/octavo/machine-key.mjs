// What this machine is, as far as results depend on it: a kernel that passed on one processor has not passed on another.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { toolEnv } from './processes.mjs'

/** With one of these missing, a suite is skipped. */
const programs = [process.env.CXX?.trim() || 'g++', 'aarch64-linux-gnu-g++', 'qemu-aarch64']

export function machineKey() {
  const versions = programs.map((program) => {
    const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', env: toolEnv() })
    return status === 0 ? stdout.split('\n', 1)[0] : null
  })
  const parts = [process.platform, process.arch, cpuFeatures(), ...versions]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

function cpuFeatures() {
  if (!existsSync('/proc/cpuinfo')) return os.cpus()[0]?.model ?? ''
  return /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? ''
}
