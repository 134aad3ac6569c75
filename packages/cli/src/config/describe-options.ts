import { flagOf, type OptionTable } from '@octavo/core'
import type { Command } from 'commander'
import { keyOf } from './config-file.ts'
import { variableOf } from './variable-of.ts'

const maxShownLength = 60

/** Every option that is not its default, with where it came from; no secret. */
export function describeOptions(command: Command, table: OptionTable, file: string | null): string {
  const rows = Object.entries(table).flatMap(([name, row]) => {
    const from = originOf(name, { source: command.getOptionValueSource(name), file })
    const value: unknown = command.getOptionValue(name)
    return from === null ? [] : [[keyOf(name), shown(value, row.isSecret === true), from] as const]
  })
  const [keys, values] = [0, 1].map((column) => Math.max(0, ...rows.map((row) => row[column]!.length)))
  const lines = rows.map(([key, value, from]) => `  ${key.padEnd(keys!)}  ${value.padEnd(values!)}  ${from}`)
  return ['options, all others by default:', ...lines].join('\n')
}

function originOf(
  name: string,
  { source, file }: { readonly source: string | undefined; readonly file: string | null },
): string | null {
  if (source === 'cli') return name === 'model' ? 'argument' : flagOf(name)
  if (source === 'env') return variableOf(name)
  return source === 'config' ? file : null
}

function shown(value: unknown, isSecret: boolean): string {
  if (isSecret) return Array.isArray(value) ? `${value.length} (hidden)` : '(hidden)'
  const text = Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value)
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length <= maxShownLength ? line : `${line.slice(0, maxShownLength)}…`
}
