const bytesPerValue = 16

/** About how many bytes a value of JSON takes in memory: its texts, and something for each value. */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string') return bytesPerValue + value.length
  if (typeof value !== 'object' || value === null) return bytesPerValue
  let size = bytesPerValue
  for (const [key, member] of Object.entries(value)) {
    if (!Array.isArray(value)) size += key.length
    size += sizeOf(member)
  }
  return size
}
