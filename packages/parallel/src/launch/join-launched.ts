import os from 'node:os'
import { fromTransferredError, waitAtMost } from '@octavo/core/engine'
import { type ControlAddress, ControlServer } from '../control/control-server.ts'
import type { ParallelConfig } from '../parallel-options.ts'
import type { RankEnvironment } from '../rank-environment.ts'
import { createHello } from '../rank/hello.ts'
import type { FromRank } from '../rank/rank-messages.ts'
import { ComputeThread } from './compute-thread.ts'
import { crowdAround, greet, linksOf } from './process-ranks.ts'
import type { LaunchedRanks, RankEvents, RankLink } from './rank-link.ts'

const endTimeoutMs = 5000

/** The first of ranks that somebody else started: it computes in a thread of this process, the others are called together. */
export async function joinLaunched(
  { controlHost, worldSize, heartbeatTimeoutMs }: ParallelConfig,
  { localSize }: RankEnvironment,
  events: RankEvents,
): Promise<LaunchedRanks> {
  const host = controlHost ?? (localSize === worldSize ? '127.0.0.1' : ownAddress())
  const server = await ControlServer.listen(
    host,
    Array.from({ length: worldSize - 1 }, (_, i) => i + 1),
  )
  try {
    const thread = await firstRank(server.address, events)
    const ranks = worldSize === 1 ? [] : await greet(await server.arrivals(), heartbeatTimeoutMs, events)
    ranks.sort((a, b) => a.rank - b.rank)
    const own = createHello()
    const hellos = [own, ...ranks.map(({ hello }) => hello)]
    const others = linksOf(ranks, own.host, hellos)
    const first: RankLink = {
      name: 'rank 0',
      host: null,
      ...crowdAround(own, hellos),
      post: (message) => thread.post(message),
    }
    return {
      links: [first, ...others],
      threadGroup: null,
      abort() {},
      async end(isFailure) {
        if (!isFailure) for (const link of others) link.post({ type: 'end' })
        const ended = Promise.all(ranks.map(({ connection }) => connection.closed))
        await Promise.all([thread.end(), isFailure || waitAtMost(ended, endTimeoutMs)])
        // Without it each ends itself.
        for (const { connection } of ranks) connection.destroy()
      },
    }
  } catch (error) {
    server.close()
    throw error
  }
}

/** Resolves once all ranks know the address. */
async function firstRank(address: ControlAddress, events: RankEvents): Promise<ComputeThread> {
  const joined = Promise.withResolvers<void>()
  let isJoined = false
  const thread = new ComputeThread('octavo-rank-0', 'clone', {
    onMessage(received) {
      const message = received as FromRank // as `clone` says
      if (isJoined) return events.onMessage(0, message)
      isJoined = true
      if (message.type === 'failed') joined.reject(fromTransferredError(message.error))
      else joined.resolve()
    },
    onLost(reason) {
      joined.reject(reason)
      events.onLost(0, reason)
    },
  })
  thread.post({ type: 'join', address })
  await joined.promise
  return thread
}

/** By which other machines reach this one, as far as can be told. */
function ownAddress(): string {
  const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? [])
  return addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1'
}
