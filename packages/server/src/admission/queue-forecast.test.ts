import { describe, expect, it } from 'vitest'
import { type Place, QueueForecast } from './queue-forecast.ts'

interface Simulated {
  readonly place: Place
  readonly length: number
  numTokens: number
}

/** An engine of so many slots that gives each of its sequences a token per step. */
class Simulation {
  now = 0
  generationTokens = 0
  readonly running: Simulated[] = []
  readonly waiting: Simulated[] = []
  readonly forecast: QueueForecast
  readonly #slots: number
  readonly #stepMs: number
  readonly #isLive: boolean

  constructor({ slots, stepMs, isLive = true }: { slots: number; stepMs: number; isLive?: boolean }) {
    this.#slots = slots
    this.#stepMs = stepMs
    this.#isLive = isLive
    this.forecast = new QueueForecast({
      maxNumSeqs: slots,
      now: () => this.now,
      metrics: () => ({
        numRunningSeqs: this.running.length,
        numWaitingSeqs: this.waiting.length,
        generationTokens: this.generationTokens,
      }),
    })
  }

  add(length: number, maxTokens: number | null): void {
    this.waiting.push({ place: this.forecast.add(1, maxTokens), length, numTokens: 0 })
  }

  /** One step; how many ended with it. */
  step(): number {
    while (this.running.length < this.#slots && this.waiting.length > 0) this.running.push(this.waiting.shift()!)
    this.now += this.#stepMs
    this.generationTokens += this.running.length
    for (const sequence of this.running) {
      sequence.numTokens++
      if (this.#isLive) sequence.place.numTokens = sequence.numTokens
    }
    this.forecast.observe()
    const ended = this.running.filter(({ numTokens, length }) => numTokens >= length)
    for (const sequence of ended) {
      this.running.splice(this.running.indexOf(sequence), 1)
      this.forecast.remove(sequence.place)
      this.forecast.learn({
        numTokens: sequence.length,
        numStops: sequence.length === sequence.place.maxTokens ? 0 : 1,
      })
    }
    return ended.length
  }
}

/** Forecasts of the next free place beside when it was free, while the queue is always full. */
function measure(simulation: Simulation, next: () => { length: number; maxTokens: number | null }, numToEnd: number) {
  const open: { at: number; said: number }[] = []
  const ratios: number[] = []
  for (let i = 0; i < 16; i++) {
    const { length, maxTokens } = next()
    simulation.add(length, maxTokens)
  }
  for (let numEnded = 0; numEnded < numToEnd;) {
    const numNew = simulation.step()
    if (numNew > 0) {
      for (const { at, said } of open.splice(0)) ratios.push(Math.max(said, 1) / (simulation.now - at))
      numEnded += numNew
      for (let i = 0; i < numNew; i++) {
        const { length, maxTokens } = next()
        simulation.add(length, maxTokens)
      }
    }
    // After the first outputs: before, nobody knows how long they are.
    if (numEnded > 8) open.push({ at: simulation.now, said: simulation.forecast.msUntilFree(1) })
  }
  return ratios.toSorted((a, b) => a - b)
}

/** Always the same numbers, from 0 to 1. */
function createRandom(): () => number {
  let state = 12_345
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31
}

const quantile = (sorted: readonly number[], share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!

describe('the forecast of the next free place', () => {
  it.each([true, false])('is right within a fifth where lengths are known (told while they run: %s)', (isLive) => {
    const simulation = new Simulation({ slots: 4, stepMs: 25, isLive })
    const ratios = measure(simulation, () => ({ length: 120, maxTokens: 120 }), 60)
    expect(quantile(ratios, 0.05)).toBeGreaterThan(0.8)
    expect(quantile(ratios, 0.95)).toBeLessThan(1.25)
  })

  it('is right within a factor of two, in the median, where outputs end by themselves', () => {
    const random = createRandom()
    const simulation = new Simulation({ slots: 8, stepMs: 10 })
    const ratios = measure(simulation, () => ({ length: 50 + Math.floor(100 * random()), maxTokens: null }), 400)
    expect(quantile(ratios, 0.5)).toBeGreaterThan(0.5)
    expect(quantile(ratios, 0.5)).toBeLessThan(2)
  })

  it('is right within a factor of two where limits differ and hold', () => {
    const random = createRandom()
    const simulation = new Simulation({ slots: 4, stepMs: 10 })
    const next = () => {
      const length = random() < 0.5 ? 20 : 200
      return { length, maxTokens: length }
    }
    const ratios = measure(simulation, next, 200)
    expect(quantile(ratios, 0.1)).toBeGreaterThan(0.5)
    expect(quantile(ratios, 0.9)).toBeLessThan(2)
  })

  it('grows with what must end before, beyond what it works out in full too', () => {
    const simulation = new Simulation({ slots: 2, stepMs: 10 })
    for (let i = 0; i < 300; i++) simulation.add(10, 10)
    for (let i = 0; i < 25; i++) simulation.step()
    const waits = [1, 2, 10, 60, 100, 200].map((count) => simulation.forecast.msUntilFree(count))
    expect(waits).toEqual(waits.toSorted((a, b) => a - b))
    // 200 sequences of 10 tokens, 2 at once, 10 ms a token.
    expect(waits.at(-1)! / 10_000).toBeGreaterThan(0.8)
    expect(waits.at(-1)! / 10_000).toBeLessThan(1.25)
  })

  it('is a second where nothing was computed yet', () => {
    const { forecast } = new Simulation({ slots: 1, stepMs: 1 })
    forecast.add(1, 5)
    expect(forecast.msUntilFree(1)).toBe(1000)
  })
})

it('what was computed and is not read yet takes nobody’s place', () => {
  const simulation = new Simulation({ slots: 2, stepMs: 10 })
  for (let i = 0; i < 5; i++) simulation.forecast.add(1, 5)
  expect(simulation.forecast.numSeqs).toBe(5)
  simulation.now += 2_000
  // The engine has none of them any more.
  expect(simulation.forecast.numSeqs).toBe(0)
})
