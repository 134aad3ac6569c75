import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, it } from 'vitest'
import { readStepLogs, type Step, StepLogWriter } from './step-log.ts'

it('reads what was written, also while it is written, from a time on', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-steps-'))
  try {
    const steps: Step[] = [
      { place: 'stage', startedMs: 1.25, endedMs: 2, communicationMs: 0.5, numTokens: 128, numSequences: 3 },
      { place: 'driver', startedMs: 7, endedMs: 9, communicationMs: 0, numTokens: 1, numSequences: 1 },
    ]
    const log = new StepLogWriter(folder)
    for (const step of steps) log.write(step)
    expect(readStepLogs(folder)).toEqual([{ pid: process.pid, steps }])
    expect(readStepLogs(folder, 5)).toEqual([{ pid: process.pid, steps: steps.slice(1) }])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
