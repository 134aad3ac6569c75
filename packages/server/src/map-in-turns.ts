import type { TurnQueue } from '@octavo/core'

/** Entries that are made in one go; some 0.5 ms. */
const entriesAtOnce = 1024

/** `list.map(map)`, letting others run in between where the list is long. `weight`: what an element stands for, in entries. */
export async function mapInTurns<T, R>(
  list: readonly T[],
  map: (element: T) => R,
  { turns, weight = 1 }: { readonly turns: TurnQueue; readonly weight?: number },
): Promise<R[]> {
  const sliceLength = Math.max(1, Math.floor(entriesAtOnce / weight))
  if (list.length <= sliceLength) return list.map(map)
  const mapped: R[] = []
  for (let start = 0; start < list.length; start += sliceLength) {
    const mapSlice = (): void => {
      for (const element of list.slice(start, start + sliceLength)) mapped.push(map(element))
    }
    await turns.run(mapSlice, { caller: list })
  }
  return mapped
}
