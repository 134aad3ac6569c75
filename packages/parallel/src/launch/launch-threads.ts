import { createThreadGroup } from '../groups/thread-memory.ts'
import { abortThreadGroup } from '../groups/thread-world.ts'
import type { FromRank } from '../rank/rank-messages.ts'
import { ComputeThread } from './compute-thread.ts'
import type { LaunchedRanks, RankEvents, RankLink } from './rank-link.ts'

/** Ranks as threads below this one, which share memory. */
export async function launchThreads(
  { worldSize, numCpus }: { readonly worldSize: number; readonly numCpus: number },
  events: RankEvents,
): Promise<LaunchedRanks> {
  const threadGroup = createThreadGroup(worldSize)
  const threads = Array.from({ length: worldSize }, (_, rank) => {
    return new ComputeThread(`octavo-rank-${rank}`, 'clone', {
      onMessage: (message) => events.onMessage(rank, message as FromRank), // as `clone` says
      onLost: (reason) => events.onLost(rank, reason),
    })
  })
  return {
    links: threads.map((thread, rank): RankLink => ({
      name: `rank ${rank}`,
      host: null,
      share: { numLocalWorkers: worldSize, numCpuWorkers: worldSize },
      numCpus,
      post: (message) => thread.post(message),
    })),
    threadGroup,
    abort: (reason) => abortThreadGroup(threadGroup, reason),
    async end() {
      await Promise.all(threads.map((thread) => thread.end()))
    },
  }
}
