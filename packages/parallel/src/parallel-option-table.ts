import type { OptionRow } from '@octavo/core'

/** What a program or a user may set; everything has a default. The table below says which, and what is allowed. */
export interface ParallelOptions {
  /** Tensor parallel: ranks that share every layer, each with its part of the heads and columns. */
  readonly tp?: number
  /** Pipeline parallel: stages, each of which has a range of the layers. */
  readonly pp?: number
  /** Expert parallel: ranks that share the experts of a mixture; 1, as many as `tp`, or any number beside `tp` 1. */
  readonly ep?: number
  /** Where ranks run, `threads`: in this process; `mpi`: in processes of their own; `auto`: the one that is needed. */
  readonly executor?: 'auto' | 'threads' | 'mpi'
  /** Machines that ranks are spread over in this order, this one first; `mpi` starts processes there. */
  readonly hosts?: string | readonly string[]
  /** How many layers each stage has, such as `10,12`. */
  readonly layerSplit?: string | readonly number[]
  /** The MPI library whose launcher is taken. */
  readonly mpi?: 'auto' | 'openmpi' | 'mpich'
  /** How long a rank's process may be silent before it counts as lost. */
  readonly heartbeatTimeoutMs?: number
  /** Address of this machine that ranks elsewhere call back to. */
  readonly controlHost?: string
}

const ranks = { kind: 'integer', min: 1, max: 1024 } as const

/** One row per option; checks, flags, their help and docs/engine-options.md derive from it. */
export const parallelOptionTable = {
  tp: {
    group: 'parallel',
    type: ranks,
    default: 1,
    doc: 'Tensor parallel: ranks that share every layer, each with its part of the heads and columns.',
  },
  pp: {
    group: 'parallel',
    type: ranks,
    default: 1,
    doc: 'Pipeline parallel: stages, each of which has a range of the layers.',
  },
  ep: {
    group: 'parallel',
    type: ranks,
    default: 1,
    doc: 'Expert parallel: ranks that share the experts of a mixture; 1, as many as `tp`, or any number beside `tp` 1.',
  },
  executor: {
    group: 'parallel',
    type: { kind: 'choice', choices: ['auto', 'threads', 'mpi'] },
    default: 'auto',
    doc: 'Where ranks run, `threads`: in this process; `mpi`: in processes of their own; `auto`: `mpi` with `hosts` or under an MPI launcher, else `threads`.',
  },
  hosts: {
    group: 'parallel',
    type: { kind: 'names' },
    default: null,
    otherwise: 'this machine',
    doc: 'Machines that ranks are spread over in this order, this one first; `mpi` starts processes there.',
  },
  layerSplit: {
    group: 'parallel',
    type: { kind: 'integers', min: 1, max: 1024 },
    default: null,
    otherwise: 'balanced by what layers, embedding and head cost',
    doc: 'How many layers each stage has, such as `10,12`.',
  },
  mpi: {
    group: 'parallel',
    type: { kind: 'choice', choices: ['auto', 'openmpi', 'mpich'] },
    default: 'auto',
    doc: 'The MPI library whose launcher is taken, `auto`: the first that is found.',
  },
  heartbeatTimeoutMs: {
    group: 'parallel',
    type: { kind: 'integer', min: 100, max: 3_600_000 },
    unit: 'milliseconds',
    default: 10_000,
    doc: "How long a rank's process may be silent before it counts as lost, and all ranks are started anew.",
  },
  controlHost: {
    group: 'parallel',
    type: { kind: 'text' },
    default: null,
    otherwise: 'the first of hosts, else 127.0.0.1',
    doc: 'Address of this machine that ranks elsewhere call back to.',
  },
} as const satisfies Readonly<Record<keyof ParallelOptions, OptionRow>>
