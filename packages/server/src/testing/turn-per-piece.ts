import { TurnQueue } from '@octavo/core'

/** Every piece of work has a turn of its own, and they are counted. */
export function turnPerPiece(): { readonly turns: TurnQueue; numTurns(): number } {
  let numTurns = 0
  const nextTurn = (run: () => void): void =>
    void setImmediate(() => {
      numTurns++
      run()
    })
  return { turns: new TurnQueue({ budgetMs: 0, clock: { now: () => 0, nextTurn } }), numTurns: () => numTurns }
}
