/** `all`, or names with commas between them. */
export function pick<T>(flag: string, value: string, known: readonly (readonly [string, T])[]): T[] {
  if (value === 'all') return known.map(([, item]) => item)
  return value.split(',').map((name) => {
    const entry = known.find(([other]) => other === name)
    if (entry === undefined)
      throw new Error(`--${flag} ${name} is not known; known are all, ${known.map(([other]) => other).join(', ')}.`)
    return entry[1]
  })
}

export function pickOne<T>(flag: string, value: string, known: readonly (readonly [string, T])[]): T {
  const [one, another] = pick(flag, value, known)
  if (one === undefined || another !== undefined) throw new Error(`--${flag} takes one name, got ${value}.`)
  return one
}

export function counts(flag: string, value: string): number[] {
  return value.split(',').map((text) => count(flag, text))
}

export function count(flag: string, value: string): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`--${flag} must be a positive integer, got ${value}.`)
  return number
}
