import { InvalidConfigError, InvalidRequestError, RankFailedError } from '@octavo/core'
import { initializeWorkers, resolveEngineConfig, type SchedulerOutput, toTransferredError } from '@octavo/core/engine'
import { describe, expect, it } from 'vitest'
import type { RankEvents } from '../launch/rank-link.ts'
import { CollectiveTimeoutError, ProcessGroupAbortedError } from '../process-group-errors.ts'
import type { ToRank } from '../rank/rank-messages.ts'
import { RankGroup } from './rank-group.ts'

const plan: SchedulerOutput = {
  newSequences: [],
  cachedSequences: [],
  scheduled: [],
  numTokens: 0,
  blockCopies: [],
  droppedIds: [],
}
const call = { rank: 0, worldSize: 2, operation: 'allReduce' }

interface Fake {
  readonly group: RankGroup
  readonly events: RankEvents
  readonly posted: { rank: number; message: ToRank }[]
  readonly ends: string[]
}

async function start({ stepTimeoutMs = 60_000, outputRank = 1 } = {}): Promise<Fake> {
  const posted: Fake['posted'] = []
  const ends: string[] = []
  let events: RankEvents | null = null
  const group = await RankGroup.launch(
    async (heard) => {
      events = heard
      return {
        links: [0, 1].map((rank) => ({
          name: `rank ${rank}`,
          host: null,
          share: { numLocalWorkers: 2, numCpuWorkers: 2 },
          numCpus: 2,
          post: (message) => void posted.push({ rank, message }),
        })),
        threadGroup: null,
        abort: (reason) => void ends.push(`abort: ${reason}`),
        end: async (isFailure) => void ends.push(isFailure ? 'kill' : 'let go'),
      }
    },
    { outputRank, stepTimeoutMs, onProgress() {} },
  )
  return { group, events: events!, posted, ends }
}

describe('a group of ranks', () => {
  it('sends each plan to all, and answers with what the output rank says, in order', async () => {
    const { group, events, posted } = await start()
    const outputs = [group.execute(plan), group.execute({ ...plan, droppedIds: ['a'] })]
    expect(posted.map(({ rank }) => rank)).toEqual([0, 1, 0, 1])
    for (const value of ['first', 'second']) events.onMessage(1, { type: 'result', value })
    expect(await Promise.all(outputs)).toEqual(['first', 'second'])
    await group.end()
  })

  it('has grammars compiled where tokens are drawn, beside plans, each with its own end', async () => {
    const { group, events, posted } = await start()
    const spec = { grammar: '{}', stopTokenIds: [2] }
    const [first, second, third] = [spec, spec, spec].map((each) => group.compileGrammar(each))
    const output = group.execute(plan)
    expect(posted.slice(0, 3)).toEqual(
      [0, 1, 2].map((id) => ({ rank: 1, message: { type: 'compileGrammar', id, spec } })),
    )
    const refusal = new InvalidRequestError('no', 'structuredOutput')
    events.onMessage(1, { type: 'grammar', id: 1, error: toTransferredError(refusal) })
    await expect(second).rejects.toThrow(InvalidRequestError)
    events.onMessage(1, { type: 'result', value: 'done' })
    expect(await output).toBe('done')
    events.onMessage(1, { type: 'grammar', id: 0, error: null })
    await first
    events.onLost(0, new Error('its thread exited with code 3'))
    await expect(third).rejects.toThrow(RankFailedError)
    await expect(group.compileGrammar(spec)).rejects.toThrow(RankFailedError)
  })

  it('says what is wrong with options or files as it is', async () => {
    const { group, events, ends } = await start()
    const loading = initializeWorkers(group.workers, resolveEngineConfig({ model: 'm' }))
    events.onMessage(0, { type: 'failed', error: toTransferredError(new InvalidConfigError('tp', 'is too large')) })
    await expect(loading).rejects.toThrow(InvalidConfigError)
    expect(ends).toEqual(['abort: tp: is too large', 'kill'])
  })

  it('fails as one, names the rank, and takes nothing more', async () => {
    const { group, events, ends } = await start()
    const outputs = [group.execute(plan), group.execute(plan)]
    events.onLost(0, new Error('its thread exited with code 3'))
    const failure = await group.failed
    expect(failure).toBeInstanceOf(RankFailedError)
    expect(failure).toMatchObject({ rank: 0, message: 'rank 0 failed: its thread exited with code 3' })
    for (const output of [...outputs, group.execute(plan)]) await expect(output).rejects.toBe(failure)
    expect(ends).toEqual(['abort: its thread exited with code 3', 'kill'])
    events.onLost(1, new Error('as well'))
    await group.end()
    expect(ends).toHaveLength(2)
  })

  it('waits for the cause where a rank says only that the group has ended', async () => {
    const { group, events } = await start()
    const output = group.execute(plan)
    const aborted = new ProcessGroupAbortedError(call, { reason: 'x', abortedBy: 1 })
    events.onMessage(0, { type: 'failed', error: toTransferredError(aborted) })
    events.onMessage(1, { type: 'failed', error: toTransferredError(new TypeError('the cause')) })
    await expect(output).rejects.toMatchObject({ rank: 1, message: 'rank 1 failed: the cause' })
  })

  it('names whom another waited for in vain', async () => {
    const { group, events } = await start({ stepTimeoutMs: 5000 })
    const output = group.execute(plan)
    events.onMessage(0, { type: 'failed', error: toTransferredError(new CollectiveTimeoutError(call, 5000, [1])) })
    await expect(output).rejects.toMatchObject({
      rank: 1,
      message: 'rank 1 did not finish a step within 5000 ms (stepTimeoutMs); raise it if steps may take that long',
    })
  })

  it('fails where no step ends in time, and names who has not answered', async () => {
    const { group, events } = await start({ stepTimeoutMs: 50, outputRank: 0 })
    const output = group.execute(plan)
    events.onMessage(1, { type: 'result', value: null })
    await expect(output).rejects.toMatchObject({
      rank: 0,
      message: expect.stringMatching(/^rank 0 did not finish a step within 50 ms/),
    })
  })

  it('is none where one is lost before all are there, and the others are ended', async () => {
    const ends: string[] = []
    const launched = RankGroup.launch(
      async (events) => {
        events.onLost(1, new Error('its control connection was closed'))
        return { links: [], threadGroup: null, abort() {}, end: async (isFailure) => void ends.push(`${isFailure}`) }
      },
      { outputRank: 0, stepTimeoutMs: 1000, onProgress() {} },
    )
    await expect(launched).rejects.toThrow('rank 1 failed: its control connection was closed')
    expect(ends).toEqual(['true'])
  })

  it('lets ranks go in order', async () => {
    const { group, events, ends } = await start()
    const output = group.execute(plan)
    events.onMessage(1, { type: 'result', value: 'done' })
    await output
    await group.end()
    events.onLost(0, new Error('its thread exited with code 0'))
    expect(ends).toEqual(['let go'])
  })
})
