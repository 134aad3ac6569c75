/** The ids of `<0x00>` to `<0xFF>`; -1 for those that the vocabulary lacks. */
export function byteTokenIds(idOf: ReadonlyMap<string, number>): number[] {
  return Array.from({ length: 256 }, (_, byte) => {
    const id = idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
    return id ?? -1
  })
}
