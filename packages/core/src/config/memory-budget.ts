/** An amount of memory: so many bytes, or a share of what is free. */
export type MemoryBudget = { readonly bytes: number } | { readonly fractionOfFree: number }

const units: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
}

/** A number of bytes, `'2GiB'`, or `'40%'` of the free memory, up to 95%; null for anything else. */
export function tryParseMemory(value: unknown): MemoryBudget | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value > 0 ? { bytes: value } : null
  if (typeof value !== 'string') return null
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(value)
  if (percent !== null) {
    const fraction = Number(percent[1]) / 100
    return fraction > 0 && fraction <= 0.95 ? { fractionOfFree: fraction } : null
  }
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(value) ?? []
  const factor = units[unit.toUpperCase()]
  const bytes = number === '' || factor === undefined ? 0 : Math.floor(Number(number) * factor)
  return bytes > 0 ? { bytes } : null
}
