import { InvalidConfigError, type OptionRow, type OptionTable, resolveOptions } from '@octavo/core'
import { type Command, InvalidArgumentError } from 'commander'
import { keyOf } from './config-file.ts'
import { readOptionText } from './option-text.ts'
import { currentVariables, type Variables } from './variables.ts'
import { variableOf } from './variable-of.ts'

/**
 * Gives the command what the environment says of options that it was given no flag for.
 * @throws InvalidConfigError that names the variable
 */
export function applyEnvironment(command: Command, table: OptionTable, env: Variables = currentVariables()): void {
  for (const [name, row] of Object.entries(table)) {
    const variable = variableOf(name)
    const text = env[variable]?.trim() ?? ''
    if (text === '' || isOfKubernetes(text) || isGiven(command, name)) continue
    command.setOptionValueWithSource(name, readGiven({ name, row, value: text, from: variable }), 'env')
  }
}

/** Gives the command what its file says of options that neither a flag nor a variable sets. @throws InvalidConfigError that names file and key */
export function applyConfigFile(
  command: Command,
  table: OptionTable,
  { file, options }: { readonly file: string; readonly options: Readonly<Record<string, unknown>> },
): void {
  for (const [name, value] of Object.entries(options)) {
    const row = table[name]
    if (row === undefined || isGiven(command, name)) continue
    const from = `${file}: ${keyOf(name)}`
    command.setOptionValueWithSource(name, readGiven({ name, row, value, from }), 'config')
  }
}

export function isGiven(command: Command, name: string): boolean {
  const source = command.getOptionValueSource(name)
  return source === 'cli' || source === 'env'
}

/** Kubernetes tells pods of the services beside them: one that is named octavo makes it `OCTAVO_PORT=tcp://10.0.0.1:8000`. */
function isOfKubernetes(text: string): boolean {
  return /^(tcp|udp|sctp):\/\//.test(text)
}

export interface GivenOption {
  readonly name: string
  readonly row: OptionRow
  readonly value: unknown
  /** For messages: a variable, or a file and its key. */
  readonly from: string
}

/** Checked where it is known whence it came. @throws InvalidConfigError */
export function readGiven({ name, row, value, from }: GivenOption): unknown {
  try {
    const read = typeof value === 'string' ? readOptionText(row, value) : value
    resolveOptions({ [name]: row }, { [name]: read })
    return read
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new InvalidConfigError(from, refusalOf(error.message, row, value))
    if (!(error instanceof InvalidConfigError)) throw error
    throw new InvalidConfigError(from, error.message.slice(error.option.length + 2))
  }
}

/** "It must be …." → "must be …, got …" */
function refusalOf(message: string, { isSecret }: OptionRow, value: unknown): string {
  const rule = message.replace(/^It /, '').replace(/\.$/, '')
  return isSecret === true ? `${rule}.` : `${rule}, got ${JSON.stringify(value)}.`
}
