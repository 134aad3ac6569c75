import { openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { threadId } from 'node:worker_threads'

/** Who writes: a rank whose stage ends with the logits, one of a stage before it, or the executor that all plans go through. */
export type StepPlace = 'last-stage' | 'stage' | 'driver'

/** One plan at one place. Times are of the machine's monotonic clock, the same in all threads and processes. */
export interface Step {
  readonly place: StepPlace
  readonly startedMs: number
  readonly endedMs: number
  /** Inside collectives of the group that shares the layers: copies, the exchange, and waiting for ranks that are late. */
  readonly communicationMs: number
  readonly numTokens: number
  readonly numSequences: number
}

/** What one thread wrote. */
export interface StepLog {
  readonly pid: number
  readonly steps: readonly Step[]
}

const places: readonly StepPlace[] = ['last-stage', 'stage', 'driver']
const numFields = 6

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** Appends to a file of this thread's own, so that nothing is lost with a thread and no other has to be asked. */
export class StepLogWriter {
  readonly #file: number
  readonly #record = new Float64Array(numFields)

  constructor(folder: string) {
    this.#file = openSync(path.join(folder, `${process.pid}-${threadId}.steps`), 'a')
  }

  write({ place, startedMs, endedMs, communicationMs, numTokens, numSequences }: Step): void {
    this.#record.set([places.indexOf(place), startedMs, endedMs, communicationMs, numTokens, numSequences])
    writeSync(this.#file, new Uint8Array(this.#record.buffer))
  }
}

/** All that was written so far, by thread; `sinceMs` leaves out steps that began before. */
export function readStepLogs(folder: string, sinceMs = 0): StepLog[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.steps'))
    .map((name) => ({ pid: Number.parseInt(name), steps: readSteps(path.join(folder, name), sinceMs) }))
}

function readSteps(file: string, sinceMs: number): Step[] {
  const bytes = readFileSync(file)
  const values = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
  const steps: Step[] = []
  for (let at = 0; at < values.length; at += numFields) {
    const [place = 0, startedMs = 0, endedMs = 0, communicationMs = 0, numTokens = 0, numSequences = 0] =
      values.subarray(at, at + numFields)
    if (startedMs < sinceMs) continue
    steps.push({ place: places[place] ?? 'driver', startedMs, endedMs, communicationMs, numTokens, numSequences })
  }
  return steps
}
