import { type EngineOptions, engineOptionTable, flagOf, type OptionRow } from '@octavo/core'
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { backendModules } from '../backend-modules.ts'
import { helpLayout } from '../ui/help-layout.ts'
import { addEngineFlags, type EngineFlags, engineOptionsOf, localGroups, servingGroups } from './engine-flags.ts'

function parse(...args: readonly string[]): EngineFlags {
  return addEngineFlags(new Command().exitOverride().configureOutput({ writeErr() {} }), servingGroups)
    .parse(args, { from: 'user' })
    .opts<EngineFlags>()
}

function optionsOf(...args: readonly string[]): EngineOptions {
  return engineOptionsOf('m', parse(...args), servingGroups)
}

/** Another value than the default, as flag and as option. */
function otherThanDefault(name: string, { type, default: usual }: OptionRow): { args: string[]; value: unknown } {
  const flag = flagOf(name)
  switch (type.kind) {
    case 'boolean':
      return { args: [usual === true ? flag.replace('--', '--no-') : flag], value: usual !== true }
    case 'choice': {
      const value = type.choices.find((choice) => choice !== usual)
      return { args: typeof value === 'boolean' ? [flag] : [flag, String(value)], value }
    }
    case 'integer':
    case 'number':
      return { args: [flag, String(type.min + 1)], value: type.min + 1 }
    case 'names':
      return { args: [flag, 'a', flag, 'b'], value: ['a', 'b'] }
    case 'template':
      return { args: [flag, '{{ messages }}'], value: '{{ messages }}' }
    case 'integers':
      return { args: [flag, '3,4'], value: '3,4' }
    case 'memory':
      return { args: [flag, '3GiB'], value: '3GiB' }
    case 'text':
      return { args: [flag, 'x'], value: 'x' }
  }
}

describe('engine flags', () => {
  const rows: [string, OptionRow][] = Object.entries(engineOptionTable).filter(([name]) => name !== 'model')

  it.each(rows)('%s reaches the engine', (name, row) => {
    const { args, value } = otherThanDefault(name, row)
    expect(optionsOf(...args)).toEqual({ model: 'm', [name]: value })
  })

  it('leaves all to the engine where none is given', () => {
    expect(optionsOf()).toEqual({ model: 'm' })
  })

  it('takes both flags of what can be off', () => {
    expect(optionsOf('--enable-prefix-caching')).toEqual({ model: 'm', enablePrefixCaching: true })
    expect(optionsOf('--no-warmup')).toEqual({ model: 'm', warmup: false })
  })

  it("leaves a conversation's seed to its requests", () => {
    expect(engineOptionsOf('m', { seed: 7 }, localGroups)).toEqual({ model: 'm' })
  })

  it('shows names, meanings and defaults within 80 columns', () => {
    const command = addEngineFlags(new Command('serve').configureHelp(helpLayout), servingGroups).configureOutput({
      getOutHelpWidth: () => 80,
    })
    const help = command.helpInformation()
    for (const [name] of rows) expect(help).toContain(flagOf(name).slice(2))
    expect(help).toContain('Scheduler options:')
    expect(help).toMatch(/--\[no-\]enable-prefix-caching\s+share the KV blocks of equal beginnings \(on\)/)
    expect(help).toMatch(/--max-num-seqs <count>\s+sequences computed at once \(64\)/)
    expect(Math.max(...help.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  })
})

describe('--dtype', () => {
  it.each(['float32', 'float16', 'bfloat16'] as const)(
    '%s is that of weights, and of products on tensorflow',
    (dtype) => {
      const flags = parse('--dtype', dtype)
      expect(optionsOf('--dtype', dtype).dtype).toBe(dtype)
      expect(backendModules(flags).find(({ name }) => name === 'tensorflow')?.options).toEqual({ dtype })
    },
  )

  it.each([[], ['--dtype', 'auto']])('leaves both to the checkpoint and the backend: %j', (...args) => {
    const flags = parse(...args)
    expect(['auto', undefined]).toContain(optionsOf(...args).dtype)
    expect(backendModules(flags).map(({ name }) => name)).toEqual(['native'])
  })

  it('refuses any other', () => {
    expect(() => parse('--dtype', 'float64')).toThrow(/--dtype.*auto, float32, float16, bfloat16/)
  })
})
