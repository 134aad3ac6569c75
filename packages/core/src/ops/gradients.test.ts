import { readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { gradientPolicies } from './gradients.case.ts'

it('every op of this folder says what it does under a gradient tape', async () => {
  const folder = new URL('.', import.meta.url)
  const files = readdirSync(folder).filter((name) => /^[a-z-]+\.ts$/.test(name))
  const kernels: string[] = []
  for (const file of files) {
    const exports: Record<string, unknown> = await import(new URL(file, folder).href)
    for (const [name, value] of Object.entries(exports)) {
      if (name.endsWith('Kernel') && typeof value === 'string') kernels.push(value)
    }
  }
  expect(kernels.sort()).toEqual(Object.keys(gradientPolicies).sort())
})
