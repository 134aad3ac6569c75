import { describeSampling } from '@octavo/core/testing'
import { it } from 'vitest'
import { createNativePack } from './native-pack.ts'
import { skipReason, testedIsas } from './tested-isas.case.ts'

for (const isa of testedIsas) {
  for (const threads of [1, 5])
    describeSampling(`native, ${isa}, ${threads} threads`, () => createNativePack({ isa, threads }))
}

if (skipReason !== null) it.skip(`sampling on native: ${skipReason}`, () => {})
