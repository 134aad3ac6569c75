import { readFileSync } from 'node:fs'
import { flagOf, InvalidConfigError, nearestName, type OptionTable } from '@octavo/core'
import { parse, YAMLParseError } from 'yaml'
import { foreignFlagRemedy } from '../flags/foreign-flags.ts'
import { isObject } from './is-object.ts'

/** What a file says: options by their names, and the models of its `models`, each with options of its own. */
export interface ConfigFile {
  readonly options: Readonly<Record<string, unknown>>
  readonly models: readonly Readonly<Record<string, unknown>>[]
}

/** @throws InvalidConfigError that names the file and, where one is at fault, the key and the nearest that there is */
export function readConfigFile(
  file: string,
  { table, modelTable }: { readonly table: OptionTable; readonly modelTable: OptionTable },
): ConfigFile {
  const content = readYaml(file, 'config')
  if (content === null) return { options: {}, models: [] }
  if (!isObject(content))
    throw new InvalidConfigError('config', `${file} must have options by their names, as in "port: 8000".`)
  const { models = [], ...options } = content
  if (!Array.isArray(models) || !models.every(isObject))
    throw new InvalidConfigError('config', `${file}: models must be a list of models with their options.`)
  return {
    options: namedOptions(options, { file, table, others: ['models'] }),
    models: models.map((model) => namedOptions(model, { file: `${file}, models`, table: modelTable, others: [] })),
  }
}

/** @throws InvalidConfigError for a file that cannot be read, or is no YAML */
export function readYaml(file: string, option: string): unknown {
  try {
    return parse(readFileSync(file, 'utf8')) as unknown
  } catch (error) {
    // The text around the place may hold a secret.
    const reason =
      error instanceof YAMLParseError
        ? `line ${error.linePos?.[0].line ?? '?'} is no YAML (${error.code})`
        : 'cannot be read'
    const cause =
      error instanceof Error && 'code' in error && !(error instanceof YAMLParseError) ? ` (${String(error.code)})` : ''
    throw new InvalidConfigError(option, `${file}: ${reason}${cause}.`)
  }
}

interface Naming {
  readonly file: string
  readonly table: OptionTable
  readonly others: readonly string[]
}

/** Names of flags, with - or _ between their words → names of options. */
function namedOptions(
  content: Readonly<Record<string, unknown>>,
  { file, table, others }: Naming,
): Record<string, unknown> {
  const byKey = new Map(Object.keys(table).map((name) => [keyOf(name), name]))
  const options: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(content)) {
    const name = byKey.get(key.replaceAll('_', '-'))
    if (name === undefined)
      throw new InvalidConfigError('config', `${file}: ${remedyOf(key, [...byKey.keys(), ...others])}`)
    if (name === 'config') throw new InvalidConfigError('config', `${file}: a file names no other file.`)
    if (name in options) throw new InvalidConfigError('config', `${file}: ${key} is there twice.`)
    // As a flag without a value, it would be a mistake.
    if (value === null) throw new InvalidConfigError('config', `${file}: ${key} has no value.`)
    options[name] = value
  }
  return options
}

/** `maxNumSeqs` in a file: `max-num-seqs`. */
export function keyOf(option: string): string {
  return flagOf(option).slice(2)
}

const maxQuotedLength = 60

function remedyOf(key: string, known: readonly string[]): string {
  const remedy = foreignFlagRemedy(`--${key.replaceAll('_', '-')}`)
  const quoted = JSON.stringify(key.slice(0, maxQuotedLength))
  if (remedy !== null) return `there is no option ${quoted}; ${remedy}.`
  const nearest = nearestName(key, known)
  return `there is no option ${quoted}${nearest === null ? '; see octavo serve --help' : `; did you mean ${nearest}?`}`
}
