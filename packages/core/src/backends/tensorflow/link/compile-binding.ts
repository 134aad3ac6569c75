import { createRequire } from 'node:module'
import path from 'node:path'
import { readEnv } from '../../../config/env.ts'
import { packageFile } from '../../../util/package-file.ts'
import type { Libtensorflow } from './libtensorflow.ts'
import { plainText } from '../../../util/plain-text.ts'
import { runProgram, tailOf } from './run-program.ts'
import { TensorflowLinkError } from './tensorflow-link-error.ts'

export interface Compiler {
  readonly program: string
  /** The first line of `--version`. */
  readonly version: string
}

/** `CXX`, else the first of g++, clang++ and c++. @throws TensorflowLinkError when none runs. */
export async function findCompiler(env?: NodeJS.ProcessEnv): Promise<Compiler> {
  const named = readEnv(env).compiler
  const programs = named !== null ? [named] : ['g++', 'clang++', 'c++']
  for (const program of programs) {
    const { exitCode, stdout } = await runProgram(program, ['--version'], { timeoutMs: 30_000, ...(env && { env }) })
    if (exitCode === 0) return { program, version: plainText(stdout.split('\n', 1)[0] ?? '') }
  }
  throw new TensorflowLinkError(
    'compiler',
    `No C++ compiler runs (tried ${plainText(programs.join(', '))}). Install g++ 8 or newer or clang++, on Debian and Ubuntu ` +
      '`apt install g++`, or name one with CXX.',
  )
}

export interface CompileOptions {
  readonly compiler: Compiler
  readonly library: Libtensorflow
  /** tfjs-node's folder, whose `binding/` has the sources. */
  readonly tfjsNode: string
  readonly cudaLibraries: readonly string[]
  /** The file to write. */
  readonly output: string
}

/** @throws TensorflowLinkError with the compiler's last words. */
export async function compileBinding(options: CompileOptions): Promise<void> {
  const args = compilerArguments(options)
  const { program } = options.compiler
  const { exitCode, signal, startError, stderr } = await runProgram(program, args, { timeoutMs: 10 * 60_000 })
  if (exitCode === 0) return
  const end = signal ?? startError ?? `exit code ${exitCode}`
  const { version } = options.library
  throw new TensorflowLinkError(
    'compile',
    `${plainText(program)} failed (${end}):\n${tailOf(stderr, 20)}\n` +
      `tfjs-node's binding does not compile against TensorFlow ${plainText(version ?? 'of unknown version')}. g++ 8 or clang 7 at ` +
      'least is needed; another TensorFlow can be named with --python or --lib.',
  )
}

export function compilerArguments({ library, tfjsNode, cudaLibraries, output }: CompileOptions): string[] {
  const nodeHeaders = path.join(
    path.dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')),
    'include',
  )
  const folders = [...new Set([...library.libraries, ...cudaLibraries].map((file) => path.dirname(file)))]
  checkFolders(folders)
  return [
    ...['-std=c++17', '-O2', '-fPIC', '-fvisibility=hidden', '-w', '-DNAPI_VERSION=8'],
    ...['-isystem', nodeHeaders, '-isystem', tfjsNode, '-isystem', library.include],
    packageFile('native/tensorflow/binding.cc'),
    ...(process.platform === 'darwin'
      ? ['-bundle', '-undefined', 'dynamic_lookup', ...library.libraries]
      : linuxLinkArguments(library.libraries, cudaLibraries)),
    ...folders.flatMap((folder) => ['-Xlinker', '-rpath', '-Xlinker', folder]),
    ...['-o', output],
  ]
}

function linuxLinkArguments(libraries: readonly string[], cudaLibraries: readonly string[]): string[] {
  // Unloading libtensorflow with the last thread that used it, and loading it again, is more than it can take.
  const common = ['-shared', '-Wl,-z,nodelete', ...libraries]
  if (cudaLibraries.length === 0) return common
  // TensorFlow opens CUDA's libraries by name and would search its own folders only; one that is loaded already is found.
  // The old kind of rpath also serves what those libraries need of each other.
  return [...common, '-Wl,--disable-new-dtags', '-Wl,--no-as-needed', ...cudaLibraries]
}

/** The loader splits search paths at colons and replaces dollar names. */
function checkFolders(folders: readonly string[]): void {
  const bad = folders.find((folder) => /[:$]/.test(folder))
  if (bad === undefined) return
  throw new TensorflowLinkError(
    'tensorflow',
    `The loader cannot search a folder whose name has a colon or a dollar sign: ${plainText(bad)}. Move TensorFlow elsewhere.`,
  )
}
