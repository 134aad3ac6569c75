import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export interface AvailableMemoryOptions {
  /** Where `/proc` and `/sys` are. */
  readonly root?: string
  /** What the machine as a whole has free. */
  readonly machineBytes?: number
  /** Where no control group is found. */
  readonly otherwise?: () => number
}

/** The files of the two versions of control groups, and the key of pages that the kernel gives back when asked. */
const versions = [
  {
    controller: '',
    mount: 'sys/fs/cgroup',
    limit: 'memory.max',
    usage: 'memory.current',
    reclaimable: 'inactive_file',
  },
  {
    controller: 'memory',
    mount: 'sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    usage: 'memory.usage_in_bytes',
    reclaimable: 'total_inactive_file',
  },
] as const

/**
 * Bytes that this process may still take. Unlike `process.availableMemory()`, files that a container has read and no longer
 * uses are not counted as used: a checkpoint that was just downloaded would else leave no room for itself.
 */
export function availableMemory({
  root = '/',
  machineBytes = os.freemem(),
  otherwise = () => process.availableMemory(),
}: AvailableMemoryOptions = {}): number {
  const groups = process.platform === 'linux' ? tryRead(path.join(root, 'proc/self/cgroup')) : null
  if (groups === null) return otherwise()
  const rooms = versions.flatMap((version) => {
    const group = groupOf(groups, version.controller)
    return group === null
      ? []
      : foldersOf(path.join(root, version.mount), group).flatMap((folder) => room(folder, version))
  })
  return rooms.length === 0 ? otherwise() : Math.max(0, Math.min(machineBytes, ...rooms))
}

/** Lines are `id:controllers:path`; version 2 names no controllers. */
function groupOf(groups: string, controller: string): string | null {
  for (const line of groups.split('\n')) {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers?.split(',').includes(controller)) return group ?? null
  }
  return null
}

/** A limit of any ancestor holds. In a container only the mount itself may be there, which is then the group's own. */
function foldersOf(mount: string, group: string): string[] {
  const parts = path.posix
    .normalize(group)
    .split('/')
    .filter((part) => part !== '' && part !== '..')
  return [mount, ...parts.map((_, i) => path.join(mount, ...parts.slice(0, i + 1)))]
}

function room(folder: string, version: (typeof versions)[number]): number[] {
  const limit = tryNumber(path.join(folder, version.limit))
  const usage = tryNumber(path.join(folder, version.usage))
  if (limit === null || usage === null) return []
  const stat = tryRead(path.join(folder, 'memory.stat')) ?? ''
  const reclaimable = Number(new RegExp(`^${version.reclaimable} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0)
  return [Math.max(0, limit - Math.max(0, usage - reclaimable))]
}

/** `max` is no limit. */
function tryNumber(file: string): number | null {
  const text = tryRead(file)?.trim() ?? ''
  return /^\d+$/.test(text) ? Number(text) : null
}

function tryRead(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
