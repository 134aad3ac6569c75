import { readFileSync } from 'node:fs'

/** CPUs that a process may run on: ranges of their numbers, first and last. */
export type CpuMask = readonly (readonly [first: number, last: number])[]

/** This process's; `null` on other systems than Linux. */
export function readCpuMask(): CpuMask | null {
  try {
    return parseCpuMask(readFileSync('/proc/self/status', 'utf8'))
  } catch {
    return null
  }
}

/** Of /proc/self/status, where a line says `Cpus_allowed_list: 0-3,8`. */
export function parseCpuMask(status: string): CpuMask | null {
  const list = /^Cpus_allowed_list:\s*(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)$/m.exec(status)?.[1]
  if (list === undefined) return null
  return list.split(',').map((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return [first, last]
  })
}

/** Unless both are known to have none in common. */
export function mayShareCpus(a: CpuMask | null, b: CpuMask | null): boolean {
  if (a === null || b === null) return true
  return a.some(([first, last]) => b.some(([otherFirst, otherLast]) => first <= otherLast && otherFirst <= last))
}
