import type { OptionTable } from '@octavo/core'

/** Options that go to a backend rather than to the engine. */
export const backendOptionTable = {
  threads: {
    group: 'device',
    type: { kind: 'integer', min: 1, max: 1024 },
    default: null,
    otherwise: 'all CPUs, divided among the ranks of the machine',
    unit: 'threads',
    env: 'OCTAVO_THREADS',
    doc: 'Threads of the native backend; of each rank, where there are several.',
  },
} as const satisfies OptionTable
