/** Numbers as Python writes them. */

/** `repr` of a float: the shortest digits that read back the same. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf'
  if (Object.is(value, -0)) return '-0.0'
  const [mantissa = '0', exponent = '0'] = value.toExponential().split('e')
  const power = Number(exponent)
  if (value !== 0 && (power < -4 || power >= 16)) return `${mantissa}e${exponentText(power)}`
  // JavaScript writes an exponent from 1e21 and below 1e-6 only.
  const text = String(value)
  return text.includes('.') ? text : `${text}.0`
}

function exponentText(power: number): string {
  return `${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}

/** `%.*f`: the exact value rounded, ties to even. */
export function fixedText(value: number, digits: number): string {
  if (!Number.isFinite(value)) return floatText(value)
  if (Math.abs(value) >= 1e21) {
    const whole = BigInt(value).toString()
    return digits === 0 ? whole : `${whole}.${'0'.repeat(digits)}`
  }
  const text = value.toFixed(digits)
  if (digits > 60) return text
  const sign = value < 0 || Object.is(value, -0) ? '-' : ''
  const rounded = text.replace('-', '')
  const exact = Math.abs(value).toFixed(Math.min(100, digits + 40))
  const rest = exact.slice(exact.indexOf('.') + 1 + digits)
  const isTie = /^50*$/.test(rest)
  if (!isTie) return sign + rounded
  const floor = exact.slice(0, exact.indexOf('.') + (digits === 0 ? 0 : 1 + digits))
  return sign + (Number(floor.at(-1)) % 2 === 0 ? floor : rounded)
}

/** `%.*e`. */
export function exponentialText(value: number, digits: number): string {
  if (!Number.isFinite(value)) return floatText(value)
  const [mantissa = '0', exponent = '0'] = value.toExponential(Math.min(digits, 100)).split('e')
  return `${Object.is(value, -0) ? '-' : ''}${mantissa}e${exponentText(Number(exponent))}`
}

/** `%.*g`, trailing zeros taken away unless `keepsZeros`. */
export function generalText(value: number, digits: number, keepsZeros = false): string {
  if (!Number.isFinite(value)) return floatText(value)
  const precision = Math.max(1, digits)
  const power = value === 0 ? 0 : Number(value.toExponential(Math.min(precision - 1, 100)).split('e')[1])
  const isFixed = power >= -4 && power < precision
  const text = isFixed ? fixedText(value, precision - 1 - power) : exponentialText(value, precision - 1)
  if (keepsZeros) return text
  const [mantissa = '', exponent] = text.split('e')
  const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
  return exponent === undefined ? short : `${short}e${exponent}`
}

/** `round(value, digits)` of a float, ties to even. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value
  if (digits >= 0) return digits > 60 ? value : Number(fixedText(value, digits))
  const unit = 10 ** Math.min(-digits, 400)
  if (!Number.isFinite(unit)) return 0
  return roundEven(value / unit) * unit
}

export function roundEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

const numberPattern = /^[+-]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/i
const specialPattern = /^([+-]?)(?:(inf(?:inity)?)|nan)$/i

/** `float(text)`; `null` where Python raises. */
export function parseFloatText(given: string): number | null {
  const text = asciiDigits(given)
  if (numberPattern.test(text)) return Number(text.replaceAll('_', ''))
  const special = specialPattern.exec(text)
  if (special === null) return null
  if (special[2] === undefined) return Number.NaN
  return special[1] === '-' ? -Infinity : Infinity
}

const firstMathDigit = 0x1d7ce
const otherDigit = /(?![0-9])\p{Nd}/gu

/** Python reads the digits of all scripts, which stand in rows from 0 to 9. */
function asciiDigits(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text
  return text.replace(otherDigit, (char) => {
    const code = char.codePointAt(0)!
    if (code >= firstMathDigit && code < firstMathDigit + 50) return String((code - firstMathDigit) % 10)
    let value = 0
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value++
    return String(value)
  })
}

/** Python reads no integers of more. */
const maxDigits = 4300

const prefixes: Readonly<Record<string, number>> = { '0b': 2, '0o': 8, '0x': 16 }

/** `int(text, base)`; `null` where Python raises. */
export function parseIntegerText(given: string, base: number): bigint | null {
  if (given.length > 2 * maxDigits) return null
  const text = asciiDigits(given)
  const match = /^([+-]?)(0[box])?_?([\da-z]+(?:_[\da-z]+)*)$/i.exec(text)
  if (match === null) return null
  const prefix = match[2]?.toLowerCase()
  let digits = match[3]!.replaceAll('_', '').toLowerCase()
  let radix = base
  if (prefix !== undefined) {
    if (base === 0 || prefixes[prefix] === base) radix = prefixes[prefix]!
    else digits = prefix + digits
  } else if (base === 0) radix = 10
  if (digits.length > maxDigits || radix < 2 || radix > 36) return null
  let value = 0n
  for (const digit of digits) {
    const number = Number.parseInt(digit, 36)
    if (Number.isNaN(number) || number >= radix) return null
    value = value * BigInt(radix) + BigInt(number)
  }
  return match[1] === '-' ? -value : value
}
