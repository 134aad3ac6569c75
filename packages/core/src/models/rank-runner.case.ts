import { expect } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { ReplayGroup } from '../layers/replay-group.case.ts'
import type { CausalLM } from './model.ts'
import { StepRunner } from './step-runner.case.ts'
import type { StepPart, TestSequence } from './step-runner.case.ts'

/** A `StepRunner` of a model that lies on the ranks of a group: one in each, with a KV cache of its own. */
export class RankRunner {
  readonly #group: ReplayGroup
  readonly #runners: readonly StepRunner[]
  /** Of each sequence, every rank's own. */
  readonly #copies = new Map<TestSequence, readonly TestSequence[]>()

  constructor(group: ReplayGroup, models: readonly CausalLM[], pack: BackendPack) {
    this.#group = group
    this.#runners = models.map((model) => new StepRunner(model, pack))
  }

  add(ids: readonly number[], typeIds?: readonly number[]): TestSequence {
    const copies = this.#runners.map((runner) => runner.add(ids, typeIds))
    const sequence = { ...copies[0]!, ids: [...ids], blocks: [] }
    this.#copies.set(sequence, copies)
    return sequence
  }

  /** Every rank must give the same bits. */
  step(parts: readonly StepPart[], rows: 'all' | 'last'): Float32Array[] {
    return this.#run(parts, (runner, copies) => runner.step(copies, rows))
  }

  /** As `step`, the hidden states of every row. */
  hiddenStates(parts: readonly StepPart[]): Float32Array[] {
    return this.#run(parts, (runner, copies) => runner.hiddenStates(copies))
  }

  #run(
    parts: readonly StepPart[],
    compute: (runner: StepRunner, parts: readonly StepPart[]) => Float32Array[],
  ): Float32Array[] {
    for (const { sequence } of parts)
      for (const copy of this.#copiesOf(sequence)) copy.ids.push(...sequence.ids.slice(copy.ids.length))
    const [first, ...others] = this.#group.run((rank) =>
      compute(
        this.#runners[rank]!,
        parts.map((part) => ({ ...part, sequence: this.#copiesOf(part.sequence)[rank]! })),
      ),
    )
    for (const other of others) expect(other).toEqual(first)
    for (const { sequence } of parts) sequence.numComputed = this.#copiesOf(sequence)[0]!.numComputed
    return first!
  }

  release(sequence: TestSequence): void {
    this.#copiesOf(sequence).forEach((copy, rank) => this.#runners[rank]!.release(copy))
    this.#copies.delete(sequence)
  }

  dispose(): void {
    for (const runner of this.#runners) runner.dispose()
  }

  #copiesOf(sequence: TestSequence): readonly TestSequence[] {
    return this.#copies.get(sequence)!
  }
}
