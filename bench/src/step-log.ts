import { openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
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
  /** How long the thread had waited for a processor so far, at the step's begin and its end. */
  readonly runDelayAtStartMs: number
  readonly runDelayAtEndMs: number
  readonly numTokens: number
  readonly numSequences: number
}

/** What one thread wrote. */
export interface StepLog {
  readonly pid: number
  readonly steps: readonly Step[]
}

const places: readonly StepPlace[] = ['last-stage', 'stage', 'driver']
const numFields = 8

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

const schedstat = process.platform === 'linux' ? openSync('/proc/thread-self/schedstat', 'r') : null
const schedstatText = Buffer.alloc(64)

/** How long this thread could have run and had no processor, since it began; 0 where the system does not say. */
export function runDelayMs(): number {
  if (schedstat === null) return 0
  const length = readSync(schedstat, schedstatText, 0, schedstatText.length, 0)
  return Number(schedstatText.toString('latin1', 0, length).split(' ')[1]) / 1e6
}

/** What is written may be read so much later: a step does not wait for a file. */
export const flushAfterMs = 300

/** Appends to a file of this thread's own: no other has to be asked. */
export class StepLogWriter {
  readonly #file: number
  #records: number[] = []

  constructor(folder: string) {
    this.#file = openSync(path.join(folder, `${process.pid}-${threadId}.steps`), 'a')
  }

  write(step: Step): void {
    const { startedMs, endedMs, communicationMs, runDelayAtStartMs, runDelayAtEndMs, numTokens, numSequences } = step
    if (this.#records.length === 0) setTimeout(() => this.#flush(), flushAfterMs).unref()
    this.#records.push(places.indexOf(step.place), startedMs, endedMs, communicationMs)
    this.#records.push(runDelayAtStartMs, runDelayAtEndMs, numTokens, numSequences)
  }

  #flush(): void {
    writeSync(this.#file, new Uint8Array(Float64Array.from(this.#records).buffer))
    this.#records = []
  }
}

/** All that was written `flushAfterMs` ago, by thread; `sinceMs` leaves out steps that began before. */
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
    const [place = 0, startedMs = 0, endedMs = 0, communicationMs = 0] = values.subarray(at)
    const [runDelayAtStartMs = 0, runDelayAtEndMs = 0, numTokens = 0, numSequences = 0] = values.subarray(at + 4)
    if (startedMs < sinceMs) continue
    const times = { startedMs, endedMs, communicationMs, runDelayAtStartMs, runDelayAtEndMs }
    steps.push({ place: places[place] ?? 'driver', ...times, numTokens, numSequences })
  }
  return steps
}
