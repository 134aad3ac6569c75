import type { OptionRow } from '@octavo/core'
import { InvalidArgumentError } from 'commander'
import { integer, number, templateText, tokenCount } from '../flags/parsers.ts'

/**
 * What a text stands for, from a variable or a file; texts that stand for nothing are left to the option's own check.
 * @throws InvalidArgumentError without the text
 */
export function readOptionText(row: OptionRow, text: string): unknown {
  const { type, unit } = row
  switch (type.kind) {
    case 'integer':
      return (unit === 'tokens' ? tokenCount : integer)(type.min, type.max)(text)
    case 'number':
      return number(type.min, type.max)(text)
    case 'boolean':
      return switchOf(text) ?? fail('true or false')
    case 'choice':
      return type.choices.find((choice) => choice === text) ?? choiceSwitch(type.choices, text) ?? text
    case 'names':
      return splitNames(text, row)
    case 'template':
      return templateText(text)
    case 'text':
    case 'integers':
    case 'memory':
      return text
  }
}

function fail(what: string): never {
  throw new InvalidArgumentError(`It must be ${what}.`)
}

function switchOf(text: string): boolean | null {
  if (/^(true|on|yes|1)$/i.test(text)) return true
  return /^(false|off|no|0)$/i.test(text) ? false : null
}

function choiceSwitch(choices: readonly (string | boolean)[], text: string): boolean | null {
  const value = switchOf(text)
  return value !== null && choices.includes(value) ? value : null
}

/** Lines, or, of what is no secret, parts between commas: a key may have commas in it. */
function splitNames(text: string, { isSecret }: OptionRow): string[] {
  return text
    .split(isSecret === true ? /\n/ : /[\n,]/)
    .map((name) => name.trim())
    .filter((name) => name !== '')
}
