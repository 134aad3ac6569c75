import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { backendModules } from '../backend-modules.ts'
import { addModelFlags, type EngineFlags, engineOptionsOf } from './engine-flags.ts'

function flagsOf(...args: readonly string[]): EngineFlags {
  return addModelFlags(new Command().exitOverride().configureOutput({ writeErr() {} }))
    .parse(args, { from: 'user' })
    .opts<EngineFlags>()
}

describe('--dtype', () => {
  it.each(['float32', 'float16', 'bfloat16'] as const)(
    '%s is that of weights, and of products on tensorflow',
    (dtype) => {
      const flags = flagsOf('--dtype', dtype)
      expect(engineOptionsOf('m', flags).dtype).toBe(dtype)
      expect(backendModules(flags).find(({ name }) => name === 'tensorflow')?.options).toEqual({ dtype })
    },
  )

  it.each([[], ['--dtype', 'auto']])('leaves both to the checkpoint and the backend: %j', (...args) => {
    const flags = flagsOf(...args)
    expect(['auto', undefined]).toContain(engineOptionsOf('m', flags).dtype)
    expect(backendModules(flags).map(({ name }) => name)).toEqual(['native'])
  })

  it('refuses any other', () => {
    expect(() => flagsOf('--dtype', 'float64')).toThrow(/--dtype.*auto, float32, float16, bfloat16/)
  })
})

describe('--warmup', () => {
  it('is on, off, or left to the engine', () => {
    expect(engineOptionsOf('m', flagsOf('--warmup')).warmup).toBe(true)
    expect(engineOptionsOf('m', flagsOf('--no-warmup')).warmup).toBe(false)
    expect(engineOptionsOf('m', flagsOf()).warmup).toBeUndefined()
  })
})
