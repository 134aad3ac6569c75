import { fileURLToPath } from 'node:url'
import { describeBatchInvariance } from '@octavo/core/testing'
import { it } from 'vitest'
import { createNativePack } from './native-pack.ts'
import { backendProvider } from './native-provider.ts'
import { skipReason, testedIsas } from './tested-isas.case.ts'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))

// The best instruction set only: it has the most paths, and the suite is long.
for (const isa of testedIsas.slice(-1)) {
  let numPacks = 0
  // Every engine has another number of threads: the bits must not depend on that either.
  const create = () => createNativePack({ isa, threads: 1 + (numPacks++ % 3) })
  // Dtypes change products and caches, which these have of every kind.
  const families = ['llama', 'gemma2', 'gpt-oss']
  const backendProviders = [{ ...backendProvider, create }]
  describeBatchInvariance('native', { fixtures, backendProviders, dtype: 'float32' })
  describeBatchInvariance('native', {
    fixtures,
    backendProviders,
    dtype: 'bfloat16',
    kvCacheDtype: 'bfloat16',
    families,
  })
  describeBatchInvariance('native', { fixtures, backendProviders, dtype: 'float32', kvCacheDtype: 'int8', families })
}

if (skipReason !== null) it.skip(`batch invariance on native: ${skipReason}`, () => {})
