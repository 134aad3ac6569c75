import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { compileOps, opArguments } from './compile-ops.ts'
import type { Libtensorflow } from './libtensorflow.ts'
import { Planted } from './planted.case.ts'

const library: Libtensorflow = {
  libraries: ['/site/tensorflow/libtensorflow_cc.so.2'],
  include: '/site/tensorflow/include',
  version: '2.21.0',
  flavour: 'cpu',
  cuda: null,
}

describe('opArguments', () => {
  it('names the instruction set where the file does, and there alone', () => {
    expect(opArguments('kernels_avx2', { library, output: '/o' })).toContain('-mavx2')
    expect(opArguments('row_ops', { library, output: '/o' }).filter((arg) => arg.startsWith('-m'))).toEqual([])
  })

  it('takes a file of the package', () => {
    const source = opArguments('row_ops', { library, output: '/o' }).find((arg) => arg.endsWith('.cc'))
    expect(existsSync(source ?? '')).toBe(true)
  })
})

describe.skipIf(process.platform === 'win32')('compileOps', () => {
  it('says in one line why there are none, and leaves nothing', async () => {
    using planted = new Planted()
    const code = 'console.error("in file\\nop.h:1: fatal error: \\u001b[31mgone\\nmore"); process.exitCode = 1'
    const compiler = { program: planted.program('cxx', code), version: 'planted' }
    const failure = await compileOps({ compiler, library, output: path.join(planted.root, 'ops.so') })
    expect(failure).toMatch(/cxx failed \(exit code 1\): op\.h:1: fatal error: .*gone$/)
    expect(failure).not.toContain('\u001B')
    expect(readdirSync(planted.root)).toEqual(['cxx'])
  })
})
