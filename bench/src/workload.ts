import { createRandom } from './random.ts'

/** One request of a serving load. */
export interface Arrival {
  readonly atMs: number
  readonly prompt: readonly number[]
  readonly numTokens: number
}

export interface WorkloadOptions {
  readonly seed: number
  readonly numRequests: number
  /** Requests per second on average; `Infinity`: all at once. */
  readonly rate: number
  readonly promptLengths: LengthRange
  readonly outputLengths: LengthRange
}

/** Drawn evenly over the logarithm: as many between 32 and 64 as between 256 and 512. */
export interface LengthRange {
  readonly min: number
  readonly max: number
}

/**
 * A Poisson process: gaps are exponential. A seed names requests and the pattern of their arrivals; the rate stretches the
 * pattern and changes nothing else, so that two rates, or two engines, are asked for the same work.
 */
export function createWorkload(options: WorkloadOptions): Arrival[] {
  const random = createRandom(options.seed)
  let atMs = 0
  return Array.from({ length: options.numRequests }, (_, i) => {
    if (i > 0) atMs += (-Math.log(random()) * 1000) / options.rate
    const length = drawLength(options.promptLengths, random)
    const numTokens = drawLength(options.outputLengths, random)
    return { atMs, numTokens, prompt: Array.from({ length }, () => 100 + Math.floor(random() * 2000)) }
  })
}

function drawLength({ min, max }: LengthRange, random: () => number): number {
  return Math.round(min * (max / min) ** random())
}
