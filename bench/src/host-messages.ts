import type { EngineOptions, SequenceNeed } from './bench-engine.ts'
import type { Speed, SpeedPlan } from './measure-speed.ts'
import type { PlayOptions, RequestRecord } from './play-workload.ts'
import type { Arrival } from './workload.ts'

/** What an engine's process is asked. */
export type HostRequest =
  | { readonly type: 'load'; readonly module: string; readonly options: EngineOptions }
  | { readonly type: 'first-token' }
  | { readonly type: 'speed'; readonly plan: SpeedPlan }
  | { readonly type: 'prepare'; readonly need: SequenceNeed }
  | { readonly type: 'serve'; readonly arrivals: readonly Arrival[]; readonly options: PlayOptions }

export interface HostAnswers {
  readonly load: { readonly loadMs: number; readonly description: string }
  /** Since loading began; asked right after it. */
  readonly 'first-token': { readonly loadAndFirstTokenMs: number }
  readonly speed: Speed & { readonly peakRssBytes: number }
  readonly prepare: void
  readonly serve: readonly RequestRecord[]
}

export type HostMessage =
  | { readonly type: 'progress'; readonly text: string }
  | { readonly type: 'answer'; readonly value: HostAnswers[HostRequest['type']] }
  | { readonly type: 'error'; readonly message: string }
