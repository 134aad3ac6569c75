import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { packageFile } from '../../../util/package-file.ts'
import type { Compiler } from './compile-binding.ts'
import type { Libtensorflow } from './libtensorflow.ts'
import { plainText } from '../../../util/plain-text.ts'
import { runProgram, tailOf } from './run-program.ts'

export interface CompileOpsOptions {
  readonly compiler: Compiler
  readonly library: Libtensorflow
  /** The file to write. Objects lie in a folder beside it meanwhile. */
  readonly output: string
}

/** Kernels for an instruction set, by the end of the file's name; which of them run is chosen when the library is loaded. */
const x64Flags: Readonly<Record<string, readonly string[]>> = {
  kernels_avx2: ['-mavx2', '-mfma'],
  kernels_avx512: ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma', '-mprefer-vector-width=512'],
}

const commonFlags = ['-std=c++17', '-O3', '-ffp-contract=fast', '-fno-math-errno', '-fPIC', '-fvisibility=hidden', '-w']

/**
 * Compiles the fused ops against TensorFlow's C++ headers. They make it faster, not more able, so that they may fail where the
 * binding, which needs the C API only, does not.
 *
 * @returns why there are none, or null
 */
export async function compileOps({ compiler, library, output }: CompileOpsOptions): Promise<string | null> {
  const objects = `${output}.objects`
  mkdirSync(objects, { recursive: true })
  try {
    const files: string[] = []
    for (const name of sources()) {
      const file = path.join(objects, `${name}.o`)
      const failure = await run(compiler, opArguments(name, { library, output: file }))
      if (failure !== null) return failure
      files.push(file)
    }
    return await run(compiler, linkArguments(files, { library, output }))
  } finally {
    rmSync(objects, { recursive: true, force: true })
  }
}

/** What this CPU's architecture has code for. */
function sources(arch: string = process.arch): string[] {
  return readdirSync(packageFile('native/tensorflow/ops'))
    .filter((name) => name.endsWith('.cc'))
    .map((name) => path.basename(name, '.cc'))
    .filter((name) => arch === 'x64' || !(name in x64Flags))
}

type Output = Pick<CompileOpsOptions, 'library' | 'output'>

export function opArguments(name: string, { library, output }: Output): string[] {
  // As the wheels are built: their headers lay some classes out by it.
  const flags = [...commonFlags, '-DNDEBUG', ...(x64Flags[name] ?? [])]
  return [...flags, '-isystem', library.include, '-c', packageFile(`native/tensorflow/ops/${name}.cc`), '-o', output]
}

function linkArguments(objects: readonly string[], { library, output }: Output): string[] {
  const folders = [...new Set(library.libraries.map((file) => path.dirname(file)))]
  return [
    ...(process.platform === 'darwin'
      ? ['-dynamiclib', '-undefined', 'dynamic_lookup']
      : ['-shared', '-Wl,-z,nodelete']),
    ...[...objects, ...library.libraries],
    ...folders.flatMap((folder) => ['-Xlinker', '-rpath', '-Xlinker', folder]),
    ...['-o', output],
  ]
}

async function run({ program }: Compiler, args: readonly string[]): Promise<string | null> {
  const { exitCode, signal, startError, stderr } = await runProgram(program, args, { timeoutMs: 10 * 60_000 })
  if (exitCode === 0) return null
  return `${plainText(program)} failed (${signal ?? startError ?? `exit code ${exitCode}`}): ${firstError(stderr)}`
}

/** One line: the others follow from it. */
function firstError(stderr: string): string {
  const line = stderr.split('\n').find((candidate) => /\berror\b/i.test(candidate))
  return line === undefined ? tailOf(stderr, 1) : tailOf(line, 1)
}
