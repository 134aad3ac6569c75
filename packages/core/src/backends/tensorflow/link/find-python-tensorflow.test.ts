import { spawnSync } from 'node:child_process'
import { realpathSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { findPythonTensorflow } from './find-python-tensorflow.ts'
import { Planted } from './planted.case.ts'

const isWindows = process.platform === 'win32'
const hasPython = spawnSync('python3', ['--version']).status === 0

function answer(changes: Record<string, unknown> = {}): string {
  const found = { folder: '/planted/tensorflow', distribution: 'tensorflow', version: '2.21.0', nvidiaFolders: [] }
  return `console.log(${JSON.stringify(JSON.stringify({ ...found, ...changes }))})`
}

describe.skipIf(isWindows)('findPythonTensorflow with planted Pythons', () => {
  it('asks the program or the virtual environment that is named', async () => {
    using planted = new Planted()
    const program = planted.program('my python', `console.log('a start-up file says hello')\n${answer()}`)
    expect(await findPythonTensorflow(program)).toMatchObject({ folder: '/planted/tensorflow', version: '2.21.0' })
    planted.program('venv/bin/python', answer({ version: '2.20.0' }))
    expect(await findPythonTensorflow(path.join(planted.root, 'venv'))).toMatchObject({ version: '2.20.0' })
  })

  it('else the active environment, then python3 and python of the PATH, past one without TensorFlow', async () => {
    using planted = new Planted()
    const none = answer({ folder: null })
    planted.program('venv/bin/python', answer({ distribution: 'of the environment' }))
    planted.program('bin/python3', none)
    planted.program('bin/python', answer({ distribution: 'of the path' }))
    const env = { PATH: path.join(planted.root, 'bin') }
    expect(await findPythonTensorflow(null, env)).toMatchObject({ distribution: 'of the path' })
    const VIRTUAL_ENV = path.join(planted.root, 'venv')
    expect(await findPythonTensorflow(null, { ...env, VIRTUAL_ENV })).toMatchObject({
      distribution: 'of the environment',
    })
  })

  it('says what to install where there is no Python, or no TensorFlow in it', async () => {
    using planted = new Planted()
    const env = { PATH: path.join(planted.root, 'bin') }
    await expect(findPythonTensorflow(null, env)).rejects.toMatchObject({
      step: 'python',
      message: expect.stringMatching(/no Python at python \(ENOENT\).*--python.*--lib/),
    })
    planted.program('bin/python3', answer({ folder: null }))
    await expect(findPythonTensorflow(null, env)).rejects.toMatchObject({
      step: 'tensorflow',
      code: 'backend_unavailable',
      message: expect.stringMatching(/python3 has no TensorFlow.*pip install/),
    })
  })

  it.each([
    ['an old one', 'console.error("SyntaxError: \\u001b[31minvalid\\u001b[0m syntax"); process.exitCode = 1'],
    ['one that answers something else', 'console.log(JSON.stringify({ folder: 7 }))'],
    ['one that answers nothing', ''],
    ['one that is killed', 'process.kill(process.pid, "SIGKILL")'],
  ])('reports %s without its control characters', async (_, code) => {
    using planted = new Planted()
    const failure = await findPythonTensorflow(planted.program('python', code)).catch((error: unknown) => error)
    expect(failure).toMatchObject({ step: 'python' })
    expect(String(failure)).toContain('could not be asked')
    expect(String(failure)).not.toContain('\u001B')
  })
})

describe.skipIf(!hasPython)('findPythonTensorflow with the real Python (skipped without python3)', () => {
  const poison = 'raise RuntimeError("imported")\n'

  function plantPackage(planted: Planted, folder: string): void {
    planted.file(`${folder}/tensorflow/__init__.py`, poison)
    planted.file(
      `${folder}/tensorflow_cpu-2.19.3.dist-info/METADATA`,
      'Metadata-Version: 2.1\nName: tensorflow-cpu\nVersion: 2.19.3\n',
    )
    planted.file(`${folder}/nvidia/cudnn/lib/libcudnn.so.9`)
  }

  it('finds package, distribution and CUDA libraries, and imports nothing', async () => {
    using planted = new Planted()
    plantPackage(planted, 'site')
    const site = path.join(planted.root, 'site')
    const found = await findPythonTensorflow('python3', { ...process.env, PYTHONPATH: site })
    expect(found).toMatchObject({ version: '2.19.3', distribution: 'tensorflow-cpu' })
    expect(found.folder).toBe(path.join(realpathSync(site), 'tensorflow'))
    expect(found.nvidiaFolders).toContain(path.join(realpathSync(site), 'nvidia'))
  })

  it('does not take a folder of that name that lies in the current one', async () => {
    using planted = new Planted()
    plantPackage(planted, '.')
    const before = process.cwd()
    process.chdir(planted.root)
    try {
      const found = await findPythonTensorflow('python3').catch((error: unknown) => error)
      expect(JSON.stringify(found)).not.toContain(path.basename(planted.root))
    } finally {
      process.chdir(before)
    }
  })
})
