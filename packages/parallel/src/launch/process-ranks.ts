import { deserialize, serialize } from 'node:v8'
import { ControlConnection } from '../control/control-connection.ts'
import type { Arrival } from '../control/control-server.ts'
import { mayShareCpus } from '../rank/cpu-mask.ts'
import type { Hello } from '../rank/hello.ts'
import type { FromRank } from '../rank/rank-messages.ts'
import type { RankEvents, RankLink } from './rank-link.ts'

/** A rank in a process of its own that has called back. */
export interface ProcessRank {
  readonly rank: number
  readonly hello: Hello
  readonly connection: ControlConnection
}

/** Hears of each who it is; from then on it speaks to `events`. */
export function greet(
  arrivals: ReadonlyMap<number, Arrival>,
  heartbeatTimeoutMs: number,
  events: RankEvents,
): Promise<ProcessRank[]> {
  return Promise.all(
    [...arrivals].map(([rank, { socket, received }]) => {
      const { promise, resolve, reject } = Promise.withResolvers<ProcessRank>()
      let isKnown = false
      const connection = new ControlConnection(socket, received, {
        heartbeatTimeoutMs,
        onFrame(payload) {
          const message: unknown = deserialize(payload)
          if (isKnown) return events.onMessage(rank, message as FromRank)
          isKnown = true
          resolve({ rank, hello: message as Hello, connection })
        },
        onLost(reason) {
          reject(reason)
          events.onLost(rank, reason)
        },
      })
      return promise
    }),
  )
}

/**
 * @param ownHost the driver's, which links leave out
 * @param hellos of all ranks, where there are others
 */
export function linksOf(
  ranks: readonly ProcessRank[],
  ownHost: string,
  hellos: readonly Hello[] = ranks.map(({ hello }) => hello),
): RankLink[] {
  return ranks.map(({ rank, hello, connection }) => ({
    name: `rank ${rank} (process ${hello.pid} on ${hello.host})`,
    host: hello.host === ownHost ? null : hello.host,
    ...crowdAround(hello, hellos),
    post: (message) => connection.send(serialize(message)),
  }))
}

/** What a rank has to share, and with how many: a launcher may have bound ranks to CPUs of their own. */
export function crowdAround(hello: Hello, all: readonly Hello[]): Pick<RankLink, 'share' | 'numCpus'> {
  const local = all.filter(({ host }) => host === hello.host)
  const onCpus = local.filter(({ cpus }) => mayShareCpus(cpus, hello.cpus))
  return {
    share: { numLocalWorkers: local.length, numCpuWorkers: onCpus.length },
    numCpus: Math.max(...onCpus.map(({ numCpus }) => numCpus)),
  }
}
