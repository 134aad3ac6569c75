import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { flushAfterMs, readStepLogs, runDelayMs, type Step, StepLogWriter } from './step-log.ts'

function step(of: Partial<Step>): Step {
  const times = { startedMs: 0, endedMs: 0, communicationMs: 0, runDelayAtStartMs: 0, runDelayAtEndMs: 0 }
  return { place: 'stage', ...times, numTokens: 1, numSequences: 1, ...of }
}

it('reads what was written, also while it is written, from a time on', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-steps-'))
  try {
    const steps: Step[] = [
      step({ place: 'stage', startedMs: 1.25, endedMs: 2, communicationMs: 0.5, numTokens: 128, numSequences: 3 }),
      step({ place: 'driver', startedMs: 7, endedMs: 9, runDelayAtStartMs: 0.25, runDelayAtEndMs: 0.75 }),
    ]
    const log = new StepLogWriter(folder)
    for (const step of steps) log.write(step)
    await sleep(2 * flushAfterMs)
    expect(readStepLogs(folder)).toEqual([{ pid: process.pid, steps }])
    expect(readStepLogs(folder, 5)).toEqual([{ pid: process.pid, steps: steps.slice(1) }])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it.runIf(process.platform === 'linux')('tells how long this thread had no processor', () => {
  const before = runDelayMs()
  for (const start = performance.now(); performance.now() - start < 20;);
  expect(runDelayMs()).toBeGreaterThanOrEqual(before)
  expect(before).toBeGreaterThanOrEqual(0)
})
