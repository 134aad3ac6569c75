import type { QuantizationProgress } from '@octavo/quant'

const barWidth = 24

/** How far a quantization is: a bar on a terminal, a line per layer elsewhere. */
export class LayerBar {
  readonly #stream: NodeJS.WriteStream
  #last = ''
  #isOpen = false

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
  }

  update(progress: QuantizationProgress): void {
    if (!this.#stream.isTTY) return this.#log(progress)
    const line = withBar(progress)
    if (line === this.#last) return
    this.#last = line
    this.#stream.write(`\r${line.slice(0, (this.#stream.columns ?? 80) - 1)}\u001B[K`)
    this.#isOpen = true
  }

  /** A line for each per cent that layers make, and one for the checkpoint, which comes in many small steps. */
  #log(progress: QuantizationProgress): void {
    const step = progress.phase === 'checkpoint' ? 'checkpoint' : String(Math.floor(progress.fraction * 100))
    if (step === this.#last) return
    this.#last = step
    const share = progress.phase === 'checkpoint' ? '' : ` ${step}%${leftOf(progress)}`
    this.#stream.write(`${placeOf(progress)}${share}\n`)
  }

  end(): void {
    if (this.#isOpen) this.#stream.write('\n')
    this.#isOpen = false
  }
}

function withBar(progress: QuantizationProgress): string {
  const { fraction } = progress
  const filled = Math.round(fraction * barWidth)
  const bar = `[${'#'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${Math.floor(fraction * 100)}%`
  return `${bar} ${placeOf(progress)}${leftOf(progress)}`
}

function placeOf({ phase, layer }: QuantizationProgress): string {
  return phase === 'layers' && layer !== null ? layer : 'writing the checkpoint'
}

function leftOf({ secondsLeft }: QuantizationProgress): string {
  return secondsLeft === null ? '' : `, ${describeTime(secondsLeft)} left`
}

/** '40 s', '5 min', '2 h 5 min'. */
export function describeTime(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
