import { readFileSync } from 'node:fs'
import { InvalidArgumentError } from 'commander'

/** An integer from `min` to `max`. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < min || value > max) {
      const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
      throw new InvalidArgumentError(`It must be an integer ${range}.`)
    }
    return value
  }
}

/** A finite number from `min` to `max`. */
export function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`)
    }
    return value
  }
}

const factors: Readonly<Record<string, number>> = { '': 1, k: 1000, K: 1024, m: 1e6, M: 1024 ** 2 }

/** A number of tokens as vLLM reads it: `4096`, `4k` = 4000, `4K` = 4096, `0.5M`. */
export function tokenCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const [, digits = '', suffix = ''] = /^(\d+(?:\.\d+)?)([kKmM]?)$/.exec(text.trim()) ?? []
    const value = Math.floor(Number(digits) * (factors[suffix] ?? 1))
    if (digits === '' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(
        `It must be a number of tokens from ${min} to ${max}, such as 4096, 4k (4000) or 4K (4096).`,
      )
    }
    return value
  }
}

/** For flags that may be given several times. */
export function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  if (value === '') throw new InvalidArgumentError('It must not be empty.')
  return [...(previous ?? []), value]
}

/** Jinja text, or the path of a file that holds it. */
export function templateText(value: string): string {
  if (value.includes('{{') || value.includes('{%')) return value
  try {
    return readFileSync(value, 'utf8')
  } catch (error) {
    throw new InvalidArgumentError(
      `It is neither Jinja text nor a readable file (${error instanceof Error ? error.message : String(error)}).`,
    )
  }
}
