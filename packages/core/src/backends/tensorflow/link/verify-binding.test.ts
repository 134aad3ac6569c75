import { execFileSync, spawnSync } from 'node:child_process'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { findLinkedBinding } from '../libtensorflow/linked-folder.ts'
import { Planted } from './planted.case.ts'
import { verifyBinding } from './verify-binding.ts'

const linked = process.env['OCTAVO_TENSORFLOW']?.trim() ? findLinkedBinding() : null
const canCompile = process.platform === 'linux' && spawnSync('g++', ['--version']).status === 0

describe('verifyBinding', () => {
  it('says why a file does not load', async () => {
    using planted = new Planted()
    await expect(verifyBinding(planted.file('broken.node', 'no library'))).rejects.toMatchObject({
      step: 'verify',
      message: expect.stringMatching(/broken\.node could not be loaded: .*Nothing was changed/s),
    })
  })

  it.skipIf(!canCompile).each([
    ['SIGABRT', 'abort()', /SIGABRT ended it/],
    ['SIGILL', 'raise(SIGILL)', /instructions that the CPU does not have/],
    ['an exit', '_exit(3)', /it ended with 3/],
  ])('survives a library that dies of %s (needs g++ on Linux)', async (_, statement, said) => {
    using planted = new Planted()
    const code = `#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n__attribute__((constructor)) static void Die() { ${statement}; }`
    const binding = path.join(planted.root, 'dying.node')
    execFileSync('g++', ['-shared', '-fPIC', planted.file('dying.cc', code), '-o', binding])
    await expect(verifyBinding(binding)).rejects.toMatchObject({ step: 'verify', message: expect.stringMatching(said) })
  })

  const itLinked = it.skipIf(linked === null)

  itLinked('refuses one that computes something else (skipped without OCTAVO_TENSORFLOW)', async () => {
    using planted = new Planted()
    const code = `const wrong = { value: () => Float32Array.of(4, 5, 10, 12) }
      module.exports = Object.create(require(${JSON.stringify(linked?.file)}), { tensorDataSync: wrong })`
    await expect(verifyBinding(planted.file('wrong.cjs', code))).rejects.toThrow(
      'does not work: libtensorflow computed a matrix product as [4, 5, 10, 12], not [4,5,10,11]',
    )
  })

  itLinked('passes the linked one (skipped without OCTAVO_TENSORFLOW)', async () => {
    const check = await verifyBinding(linked?.file ?? '')
    expect(check.version).toMatch(/^2\./)
    expect(check.devices.map(({ type }) => type)).toContain('CPU')
  })
})
