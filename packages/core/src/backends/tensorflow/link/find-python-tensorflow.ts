import { statSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { readEnv } from '../../../config/env.ts'
import { plainText } from '../../../util/plain-text.ts'
import { runProgram, tailOf } from './run-program.ts'
import { TensorflowLinkError } from './tensorflow-link-error.ts'

/** TensorFlow as a Python environment has it. */
export interface PythonTensorflow {
  readonly python: string
  /** The package's folder, `…/site-packages/tensorflow`. */
  readonly folder: string
  /** As the installed distribution says; null where there is none, for instance in a source tree. */
  readonly version: string | null
  /** The distribution, such as `tensorflow-cpu`. */
  readonly distribution: string | null
  /** Folders `site-packages/nvidia`, under which `tensorflow[and-cuda]` puts CUDA's libraries. */
  readonly nvidiaFolders: readonly string[]
}

/** Looks TensorFlow up without importing it, and without the current folder, which `-c` would search first. */
const script = `
import sys
sys.path = [entry for entry in sys.path if entry != '']
import json, os
from importlib import metadata
from importlib.util import find_spec

def folders(name):
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    return [os.path.realpath(f) for f in (spec.submodule_search_locations or [])] if spec else []

names = ['tensorflow', 'tensorflow-cpu', 'tensorflow-gpu', 'tensorflow-rocm', 'tensorflow-macos', 'tensorflow-aarch64',
         'tensorflow-cpu-aws', 'intel-tensorflow', 'tf-nightly', 'tf-nightly-cpu']
found = folders('tensorflow')
distribution = version = None
for name in names:
    try:
        candidate = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    if found and os.path.realpath(str(candidate.locate_file('tensorflow'))) == found[0]:
        distribution, version = name, candidate.version
        break
print(json.dumps({'folder': found[0] if found else None, 'distribution': distribution, 'version': version,
                  'nvidiaFolders': folders('nvidia')}))
`

const answerSchema = z.object({
  folder: z.string().nullable(),
  distribution: z.string().nullable(),
  version: z.string().nullable(),
  nvidiaFolders: z.array(z.string()),
})

const timeoutMs = 120_000

/**
 * The TensorFlow of `python` (a program, or a virtual environment's folder), else of the active virtual environment, else
 * of the first of `python3` and `python` on the PATH that has one.
 *
 * @throws TensorflowLinkError when no Python runs or none has TensorFlow.
 */
export async function findPythonTensorflow(python: string | null, env?: NodeJS.ProcessEnv): Promise<PythonTensorflow> {
  const failures: TensorflowLinkError[] = []
  for (const program of candidates(python, env)) {
    const answer = await ask(program, env)
    if (!(answer instanceof TensorflowLinkError)) return answer
    failures.push(answer)
  }
  // A Python without TensorFlow says more than a name that is not on the PATH.
  const failure = failures.find(({ step }) => step === 'tensorflow') ?? failures.at(-1)
  if (failure !== undefined) throw failure
  throw new TensorflowLinkError('python', 'no Python to ask')
}

function candidates(python: string | null, env: NodeJS.ProcessEnv | undefined): string[] {
  if (python !== null) {
    const isFolder = statSync(python, { throwIfNoEntry: false })?.isDirectory() === true
    return [isFolder ? path.join(python, 'bin', 'python') : python]
  }
  const { virtualEnv } = readEnv(env)
  return [...(virtualEnv === null ? [] : [path.join(virtualEnv, 'bin', 'python')]), 'python3', 'python']
}

async function ask(
  python: string,
  env: NodeJS.ProcessEnv | undefined,
): Promise<PythonTensorflow | TensorflowLinkError> {
  const { exitCode, startError, stdout, stderr } = await runProgram(python, ['-c', script], {
    timeoutMs,
    ...(env && { env }),
  })
  if (startError !== null) {
    return new TensorflowLinkError(
      'python',
      `There is no Python at ${plainText(python)} (${startError}). Install Python with TensorFlow, name another one with --python, ` +
        'or name an unpacked libtensorflow with --lib.',
    )
  }
  const answer = exitCode === 0 ? parseAnswer(stdout) : null
  if (answer === null) {
    return new TensorflowLinkError(
      'python',
      `${plainText(python)} could not be asked for TensorFlow (it needs Python 3.8 or newer):\n${tailOf(stderr || stdout, 5)}`,
    )
  }
  if (answer.folder === null) {
    return new TensorflowLinkError(
      'tensorflow',
      `${plainText(python)} has no TensorFlow. Install one there with \`pip install tensorflow-cpu\`, for an NVIDIA GPU ` +
        "`pip install 'tensorflow[and-cuda]'`, or name another Python with --python or an unpacked libtensorflow with --lib.",
    )
  }
  return { ...answer, python, folder: answer.folder }
}

function parseAnswer(stdout: string): z.infer<typeof answerSchema> | null {
  try {
    // A site's start-up files may print something first.
    return answerSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''))
  } catch {
    return null
  }
}
