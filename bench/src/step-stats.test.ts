import { describe, expect, it } from 'vitest'
import type { Step, StepLog, StepPlace } from './step-log.ts'
import { collectiveShares, idealIdleShare, pipelineStats } from './step-stats.ts'

const decode = { numTokens: 1, numSequences: 1 }

function step(place: StepPlace, [startedMs, endedMs]: readonly [number, number], more: Partial<Step> = {}): Step {
  const delays = { runDelayAtStartMs: 0, runDelayAtEndMs: 0 }
  return { place, startedMs, endedMs, communicationMs: 0, ...delays, ...decode, ...more }
}

const log = (...steps: Step[]): StepLog => ({ pid: 1, steps })

describe('collectiveShares', () => {
  it('is of all ranks together, and of the one that waited least in each step', () => {
    const a = log(
      step('last-stage', [0, 10], { communicationMs: 1 }),
      step('last-stage', [10, 20], { communicationMs: 5 }),
    )
    const b = log(
      step('last-stage', [0, 10], { communicationMs: 4 }),
      step('last-stage', [10, 20], { communicationMs: 2 }),
    )
    expect(collectiveShares([a, b, log(step('driver', [0, 30]))])).toEqual({ mean: 12 / 40, least: 3 / 20 })
  })

  it('is nothing where no rank logged', () => {
    expect(collectiveShares([log(), log(step('driver', [0, 1]))])).toBeNull()
  })
})

describe('pipelineStats', () => {
  const prompt = { numTokens: 32, numSequences: 1 }

  it('of two plans of equal length through two stages: a third of their time is idle', () => {
    const logs = [
      log(step('driver', [0, 20], prompt), step('driver', [0, 30], prompt)),
      log(step('stage', [0, 10], prompt), step('stage', [10, 20], prompt)),
      log(step('last-stage', [10, 20], prompt), step('last-stage', [20, 30], prompt)),
    ]
    const stats = pipelineStats(logs, 'prefill')
    expect(stats?.numPlans).toBe(2)
    expect(stats?.plansInFlight).toBeCloseTo(50 / 30, 9)
    expect(stats?.idleShare).toBeCloseTo(idealIdleShare(2, 2), 9)
    expect(stats).toMatchObject({ stageMs: [10, 10], unevenShare: 0, crowdedShare: 0, handOverMs: 0 })
  })

  it('says what of it is for steps of unequal length, beyond the bubble', () => {
    const logs = [
      log(step('driver', [0, 25], prompt), step('driver', [0, 40], prompt)),
      log(step('stage', [0, 10], prompt), step('stage', [10, 20], prompt)),
      log(step('last-stage', [10, 25], prompt), step('last-stage', [25, 40], prompt)),
    ]
    const stats = pipelineStats(logs, 'prefill')
    expect(stats?.idleShare).toBeCloseTo(1 - 50 / 80, 9)
    expect(stats?.unevenShare).toBeCloseTo(1 - 50 / 80 - idealIdleShare(2, 2), 9)
    expect(stats?.crowdedShare).toBe(0)
  })

  it('says what of it is waiting for a processor, once there is all that a step needs', () => {
    const waited = { runDelayAtStartMs: 7, runDelayAtEndMs: 7 }
    const logs = [
      log(step('driver', [0, 20], prompt), step('driver', [0, 33], prompt)),
      log(step('stage', [0, 10], prompt), step('stage', [12, 22], { ...prompt, ...waited })),
      // Of its 7 ms without a processor it had its input for one.
      log(step('last-stage', [10, 20], prompt), step('last-stage', [23, 33], { ...prompt, ...waited })),
    ]
    const stats = pipelineStats(logs, 'prefill')
    expect(stats?.crowdedShare).toBeCloseTo((2 + 1) / 66, 9)
    expect(stats?.unevenShare).toBe(0)
  })

  it('counts decoding from the last prompt on, and the way from stage to stage', () => {
    const logs = [
      log(step('driver', [0, 20], prompt), step('driver', [20, 42])),
      log(step('stage', [0, 10], prompt), step('stage', [20, 30])),
      log(step('last-stage', [10, 20], prompt), step('last-stage', [32, 40])),
    ]
    const stats = pipelineStats(logs, 'decode')
    expect(stats).toMatchObject({ numPlans: 1, plansInFlight: 1, handOverMs: 2 })
    expect(stats?.idleShare).toBeCloseTo(1 - 18 / 40, 9)
  })

  it('counts decoding from when the last stage is done with prompts, whatever the first one began meanwhile', () => {
    const logs = [
      log(step('driver', [0, 100], prompt), step('driver', [50, 115]), step('driver', [100, 125])),
      log(step('stage', [0, 50], prompt), step('stage', [50, 60]), step('stage', [100, 110])),
      log(step('last-stage', [50, 100], prompt), step('last-stage', [100, 110]), step('last-stage', [110, 120])),
    ]
    const stats = pipelineStats(logs, 'decode')
    expect(stats?.numPlans).toBe(2)
    expect(stats?.idleShare).toBeCloseTo(1 - 30 / 40, 9)
    expect(stats?.plansInFlight).toBeCloseTo((15 + 20) / 20, 9)
    expect(stats?.unevenShare).toBe(0)
  })

  it('is nothing without stages', () => {
    expect(pipelineStats([log(step('last-stage', [0, 1]))], 'decode')).toBeNull()
  })
})
