import { InvalidConfigError } from '@octavo/core/backend'

/** One way to store a module. */
export interface BitsChoice {
  readonly bits: number
  readonly sizeInBytes: number
  /** The squared error of the module's outputs over their squares. */
  readonly error: number
}

export interface ModuleChoices {
  readonly name: string
  /** By rising bits. */
  readonly choices: readonly BitsChoice[]
}

/** What a layer may take, or what each of its modules may lose. */
export type BitsBudget = { readonly maxBytes: number } | { readonly maxError: number }

/**
 * The choice of each module, in order. For an error: the fewest bits whose error is within it, the most where none is. For a
 * size: beginning with the fewest bits, always the step up that takes away the most error per byte, while it fits.
 */
export function chooseBits(modules: readonly ModuleChoices[], budget: BitsBudget): BitsChoice[] {
  if ('maxError' in budget)
    return modules.map(({ choices }) => choices.find(({ error }) => error <= budget.maxError) ?? choices.at(-1)!)
  const places = modules.map(() => 0)
  const chosen = (): BitsChoice[] => modules.map(({ choices }, m) => choices[places[m]!]!)
  let bytes = chosen().reduce((sum, { sizeInBytes }) => sum + sizeInBytes, 0)
  if (bytes > budget.maxBytes)
    throw new InvalidConfigError(
      'averageBits',
      `is below what the fewest bits take: ${bytes} bytes where ${Math.floor(budget.maxBytes)} are allowed; raise it, or offer fewer bits`,
    )
  for (;;) {
    const steps = modules.flatMap(({ choices }, m) => stepsUp(choices, places[m]!).map((step) => ({ ...step, m })))
    const fitting = steps.filter((step) => step.gain > 0 && bytes + step.bytes <= budget.maxBytes)
    if (fitting.length === 0) return chosen()
    const best = fitting.reduce((a, b) => (b.gain / b.bytes > a.gain / a.bytes ? b : a))
    places[best.m] = best.place
    bytes += best.bytes
  }
}

/** All choices above one, so that a step that gains nothing does not hide the next. */
function stepsUp(choices: readonly BitsChoice[], from: number): { place: number; gain: number; bytes: number }[] {
  const { error, sizeInBytes } = choices[from]!
  return choices
    .slice(from + 1)
    .map((choice, i) => ({ place: from + 1 + i, gain: error - choice.error, bytes: choice.sizeInBytes - sizeInBytes }))
}
