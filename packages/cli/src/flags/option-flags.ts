import { flagOf, type OptionRow, type OptionTable } from '@octavo/core'
import { type Command, Option } from 'commander'
import { NegatableOption } from '../ui/help-layout.ts'
import { collect, integer, number, templateText, tokenCount } from './parsers.ts'

/** The flags of a table's options, under one heading per group. */
export function addOptionFlags(command: Command, table: OptionTable): Command {
  for (const [name, row] of Object.entries(table)) {
    for (const option of optionsOf(name, row)) command.addOption(option.helpGroup(headingOf(row)))
  }
  return command
}

function headingOf({ group }: OptionRow): string {
  return `${group.charAt(0).toUpperCase()}${group.slice(1)} options:`
}

/** What can be off has two flags, of which help shows one. */
function optionsOf(name: string, row: OptionRow): Option[] {
  const flag = flagOf(name)
  const description = `${sentence(row.doc)} (${defaultOf(row)})`
  if (!canBeOff(row)) return [valueOption(`${row.short ? `${row.short}, ` : ''}${flag}`, { name, row, description })]
  if (row.default === false) return [new Option(flag, description)]
  return [new NegatableOption(flag, description), new Option(flag.replace('--', '--no-')).hideHelp()]
}

function canBeOff({ type }: OptionRow): boolean {
  return type.kind === 'boolean' || (type.kind === 'choice' && type.choices.includes(false))
}

interface Described {
  readonly name: string
  readonly row: OptionRow
  readonly description: string
}

function valueOption(flag: string, { name, row, description }: Described): Option {
  const { type, unit } = row
  const option = new Option(`${flag} <${placeholderOf(name, row)}>`, description)
  switch (type.kind) {
    case 'integer':
      return option.argParser((unit === 'tokens' ? tokenCount : integer)(type.min, type.max))
    case 'number':
      return option.argParser(number(type.min, type.max))
    case 'choice':
      return option.choices(type.choices.map(String))
    case 'names':
      return option.argParser(collect)
    case 'template':
      return option.argParser(templateText)
    case 'text':
    case 'integers':
    case 'memory':
    case 'boolean':
      return option
  }
}

function placeholderOf(name: string, { type, unit }: OptionRow): string {
  if (type.kind === 'memory') return 'size'
  if (type.kind === 'template') return 'jinja'
  const [lastWord = name] = /[A-Z]?[a-z]+$/.exec(name) ?? []
  return unit === undefined ? lastWord.toLowerCase() : unit === 'tokens' || unit === 'seconds' ? unit : 'count'
}

/** The default, what could be there instead, and the variable that says so. */
function defaultOf({ default: value, otherwise, env, type }: OptionRow): string {
  const shown = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value ?? otherwise)
  const others = type.kind === 'choice' ? type.choices.filter((choice) => typeof choice === 'string') : []
  const choices = others.length > 1 ? `or ${others.filter((choice) => choice !== value).join(', ')}` : ''
  return [shown, choices, env ?? ''].filter((part) => part !== '').join('; ')
}

/** As commander's own descriptions: no capital, no period, no Markdown. */
function sentence(doc: string): string {
  const text = doc.replaceAll('`', '').replace(/\.$/, '')
  return /^[A-Z][A-Z]/.test(text) ? text : `${text.charAt(0).toLowerCase()}${text.slice(1)}`
}
