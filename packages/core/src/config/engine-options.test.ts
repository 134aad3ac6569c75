import { readFileSync } from 'node:fs'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { resolveEngineConfig } from './engine-config.ts'
import { type EngineOptions, engineOptionTable } from './engine-options.ts'
import type { OptionInput, OptionRow } from './option-table.ts'

type Table = typeof engineOptionTable
const rows: [string, OptionRow][] = Object.entries(engineOptionTable)

describe('engineOptionTable', () => {
  it('has the types of EngineOptions', () => {
    type FromTable = { [Name in keyof Table]: OptionInput<Table[Name]['type']> }
    expectTypeOf<FromTable>().toEqualTypeOf<{ [Name in keyof EngineOptions]-?: NonNullable<EngineOptions[Name]> }>()
  })

  it("has the words of EngineOptions' comments", () => {
    const source = readFileSync(new URL('./engine-options.ts', import.meta.url), 'utf8')
    const [members = ''] = /interface EngineOptions \{[^}]*\n\}/.exec(source) ?? []
    const comments = [...members.matchAll(/\/\*\*([^]*?)\*\/\s+readonly (\w+)/g)].map(([, comment = '', name = '']) => [
      name,
      comment.replaceAll(/\s*\n\s*\*\s*/g, ' ').trim(),
    ])
    expect(comments).toEqual(rows.map(([name, { doc }]) => [name, doc]))
  })

  it('says of each option what holds where it is not given', () => {
    for (const [name, row] of rows)
      expect(row.default !== null || row.otherwise !== undefined || name === 'model', name).toBe(true)
  })

  it('puts every option into its group of the configuration', () => {
    expectTypeOf(resolveEngineConfig).returns.toExtend<{
      cache: { blockSize: number }
      serving: { seed: number | null }
    }>()
    const names = Object.entries(resolveEngineConfig({ model: 'm' })).map(([group, values]) => [
      group,
      Object.keys(values),
    ])
    const inTable = Map.groupBy(rows, ([, { group }]) => group)
    expect(names).toEqual([...inTable].map(([group, members]) => [group, members.map(([name]) => name)]))
  })

  it('has defaults that it takes itself', () => {
    const given = Object.fromEntries(
      rows.filter(([, row]) => row.default !== null).map(([name, row]) => [name, row.default]),
    )
    expect(resolveEngineConfig({ ...given, model: 'm' })).toEqual(resolveEngineConfig({ model: 'm' }))
  })
})
