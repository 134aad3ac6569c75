import type { MpiLibrary } from '@octavo/parallel'
import type { ParallelOptions } from '@octavo/parallel/executor'
import type { SpeedPlan } from './measure-speed.ts'
import type { ParallelBenchOptions } from './parallel-options.ts'

/** One way to spread the model. */
export interface Contestant {
  readonly label: string
  /** `null` = one rank, which all are held to. */
  readonly parallel: ParallelOptions | null
  readonly plan: Pick<SpeedPlan, 'prefill' | 'decode'>
  readonly maxNumBatchedTokens: number | null
}

/** Of the pipeline: each plan has half, so that prompts go through it in several. */
export const pipelineBatchedTokens = 256

export function contestantsOf(options: ParallelBenchOptions, libraries: readonly MpiLibrary[]): Contestant[] {
  const { prefill, decode, pipelinePrefill, pipelineDecode, layerSplit } = options
  const tensor = (label: string, parallel: ParallelOptions): Contestant => ({
    label: `tp 2, ${label}`,
    parallel: { tp: 2, ...parallel },
    plan: { prefill, decode },
    maxNumBatchedTokens: null,
  })
  const pipeline = (label: string, parallel: ParallelOptions): Contestant => ({
    label: `pp 2, ${label}`,
    parallel: { pp: 2, ...(layerSplit && { layerSplit }), ...parallel },
    plan: { prefill: pipelinePrefill, decode: pipelineDecode },
    maxNumBatchedTokens: pipelineBatchedTokens,
  })
  return [
    {
      label: '1 rank',
      parallel: null,
      plan: { prefill: union(prefill, pipelinePrefill), decode: union(decode, pipelineDecode) },
      maxNumBatchedTokens: null,
    },
    ...[tensor, pipeline].flatMap((create) => [
      create('threads', { executor: 'threads' }),
      ...libraries.map(({ name, kind }) => create(name, { executor: 'mpi', mpi: kind })),
    ]),
  ]
}

function union(a: readonly number[], b: readonly number[]): number[] {
  return [...new Set([...a, ...b])].sort((x, y) => x - y)
}
