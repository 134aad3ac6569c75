import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { compileBinding, type CompileOptions, compilerArguments, findCompiler } from './compile-binding.ts'
import { Planted } from './planted.case.ts'

const options: CompileOptions = {
  compiler: { program: 'g++', version: 'g++ 12' },
  library: {
    libraries: ['/site/tensorflow/libtensorflow_cc.so.2', '/site/tensorflow/libtensorflow_framework.so.2'],
    include: '/site/tensorflow/include',
    version: '2.21.0',
    flavour: 'cpu',
    cuda: null,
  },
  tfjsNode: '/modules/tfjs-node',
  cudaLibraries: [],
  output: '/data/tfjs_binding.node',
}

function rpaths(args: readonly string[]): string[] {
  return args.flatMap((arg, i) => (arg === '-rpath' ? [args[i + 2] ?? ''] : []))
}

describe.skipIf(process.platform !== 'linux')('compilerArguments (of Linux)', () => {
  it('links to the libraries where they are', () => {
    const args = compilerArguments(options)
    expect(args).toEqual(expect.arrayContaining([...options.library.libraries]))
    expect(rpaths(args)).toEqual(['/site/tensorflow'])
    expect(args).not.toContain('-Wl,--no-as-needed')
  })

  it("loads CUDA's libraries of Python's packages along", () => {
    const args = compilerArguments({ ...options, cudaLibraries: ['/site/nvidia/cudnn/lib/libcudnn.so.9'] })
    expect(rpaths(args)).toEqual(['/site/tensorflow', '/site/nvidia/cudnn/lib'])
    expect(args.indexOf('/site/nvidia/cudnn/lib/libcudnn.so.9')).toBeGreaterThan(args.indexOf('-Wl,--no-as-needed'))
  })

  it.each(['/a:b', '/a/$ORIGIN'])('refuses the folder %s, which the loader would not find', (folder) => {
    const library = { ...options.library, libraries: [path.join(folder, 'libtensorflow_cc.so.2')] }
    expect(() => compilerArguments({ ...options, library })).toThrow('colon or a dollar sign')
  })
})

describe.skipIf(process.platform === 'win32')('the compiler', () => {
  it('is CXX, else the first that runs', async () => {
    using planted = new Planted()
    planted.program('bin/clang++', 'console.log("clang 18\\nmore")')
    const PATH = path.join(planted.root, 'bin')
    expect(await findCompiler({ PATH })).toEqual({ program: 'clang++', version: 'clang 18' })
    const CXX = planted.program('my g++', 'console.log("mine")')
    expect(await findCompiler({ PATH, CXX })).toEqual({ program: CXX, version: 'mine' })
  })

  it('is asked for where there is none', async () => {
    using planted = new Planted()
    const env = { PATH: planted.root }
    await expect(findCompiler(env)).rejects.toMatchObject({
      step: 'compiler',
      message: expect.stringMatching(/tried g\+\+, clang\+\+, c\+\+.*apt install g\+\+/),
    })
    await expect(findCompiler({ ...env, CXX: '/nowhere/g++' })).rejects.toThrow('tried /nowhere/g++')
  })

  it('has its last words shown, without control characters', async () => {
    using planted = new Planted()
    const code = 'console.error("\\u001b[31mfatal error: c_api.h: gone\\u001b[0m"); process.exitCode = 4'
    const program = planted.program('cxx', code)
    const compiler = { program, version: 'planted' }
    const failure = await compileBinding({ ...options, compiler }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ step: 'compile' })
    expect(String(failure)).toMatch(/failed \(exit code 4\):[^]*fatal error: c_api.h: gone[^]*TensorFlow 2.21.0/)
    expect(String(failure)).not.toContain('\u001B')
  })
})
