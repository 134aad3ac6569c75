/** How far a run is. */
export interface QuantizationProgress {
  readonly phase: 'layers' | 'checkpoint'
  /** `model.layers.3`, while layers are worked on. */
  readonly layer: string | null
  /** Of the whole run, 0 to 1. */
  readonly fraction: number
  /** `null` while nothing has been measured. */
  readonly secondsLeft: number | null
}

/** Layers finished in earlier runs take no time in this one. */
export class ProgressMeter {
  readonly #report: (progress: QuantizationProgress) => void
  readonly #start = performance.now()
  readonly #numLayers: number
  #done: number
  #measured = 0

  constructor(
    report: ((progress: QuantizationProgress) => void) | undefined,
    counts: { numLayers: number; done: number },
  ) {
    this.#report = report ?? (() => {})
    this.#numLayers = counts.numLayers
    this.#done = counts.done
  }

  beginLayer(layer: string): void {
    this.#report({ phase: 'layers', layer, fraction: this.#fraction(0), secondsLeft: this.#left() })
  }

  endLayer(layer: string): void {
    this.#done++
    this.#measured++
    this.#report({ phase: 'layers', layer, fraction: this.#fraction(0), secondsLeft: this.#left() })
  }

  writing(share: number): void {
    this.#report({ phase: 'checkpoint', layer: null, fraction: this.#fraction(share), secondsLeft: null })
  }

  /** Writing the checkpoint counts as one layer. */
  #fraction(written: number): number {
    return (this.#done + written) / (this.#numLayers + 1)
  }

  #left(): number | null {
    if (this.#measured === 0) return null
    const perLayer = (performance.now() - this.#start) / this.#measured
    return ((this.#numLayers - this.#done + 1) * perLayer) / 1000
  }
}
