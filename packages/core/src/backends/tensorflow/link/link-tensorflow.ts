import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { opsFileName } from '../libtensorflow/fused-ops.ts'
import { bindingFileName, type LinkManifest, manifestFileName } from '../libtensorflow/linked-folder.ts'
import { explainMissingGpu } from '../libtensorflow/missing-gpu.ts'
import { findTfjsNode, type TfjsNodePackage } from '../libtensorflow/tfjs-node-package.ts'
import { compileBinding, type Compiler, findCompiler } from './compile-binding.ts'
import { compileOps } from './compile-ops.ts'
import { findCudaLibraries } from './cuda-libraries.ts'
import { findPythonTensorflow } from './find-python-tensorflow.ts'
import { checkVersion, inFolder, inWheel, isTriedVersion, type Libtensorflow } from './libtensorflow.ts'
import { plainText } from '../../../util/plain-text.ts'
import { TensorflowLinkError } from './tensorflow-link-error.ts'
import { type VerifiedBinding, verifyBinding } from './verify-binding.ts'

export interface LinkOptions {
  /** A Python program or a virtual environment's folder; null: the one that the shell would use. */
  readonly python: string | null
  /** An unpacked libtensorflow instead of a Python's. */
  readonly lib: string | null
  /** Where the binding goes. */
  readonly folder: string
  readonly onProgress: (line: string) => void
}

export interface LinkResult {
  readonly manifest: LinkManifest
  readonly verified: VerifiedBinding
  /** Things to know that did not keep it from working. */
  readonly notes: readonly string[]
}

interface Source {
  readonly library: Libtensorflow
  readonly cudaLibraries: readonly string[]
}

/**
 * Builds tfjs-node's binding against a TensorFlow of this machine, which stays where it is, and puts it into `folder` once
 * it has computed something right. An earlier binding there stays until then.
 *
 * @throws TensorflowLinkError for whatever the machine lacks, with the remedy.
 */
export async function linkTensorflow({ python, lib, folder, onProgress }: LinkOptions): Promise<LinkResult> {
  if (process.platform === 'win32')
    throw new TensorflowLinkError('platform', 'Linking works on Linux and macOS, not on Windows; WSL 2 is Linux.')
  const tfjsNode = findTfjsNode()
  if (tfjsNode === null) {
    throw new TensorflowLinkError(
      'tfjs-node',
      'tfjs-node is not installed beside Octavo: `npm install --ignore-scripts @tensorflow/tfjs-node@4.22.0` (its install ' +
        'script would fetch a TensorFlow of 2022; the JavaScript is all that is needed).',
    )
  }
  const { library, cudaLibraries } = await findLibrary(python, lib)
  onProgress(
    `found TensorFlow${library.version === null ? '' : ` ${library.version}`} (${library.flavour}): ${library.libraries[0]}`,
  )
  const compiler = await findCompiler()
  mkdirSync(folder, { recursive: true })
  // Beside its place, so that renames put it there; a process that has the old files loaded keeps those.
  const fresh = path.join(folder, `${process.pid}.new`)
  mkdirSync(fresh, { recursive: true })
  try {
    const result = await buildIn({ folder: fresh, compiler, tfjsNode, library, cudaLibraries, onProgress })
    moveInto(folder, fresh)
    return result
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

interface Build extends Source {
  readonly folder: string
  readonly compiler: Compiler
  readonly tfjsNode: TfjsNodePackage
  readonly onProgress: (line: string) => void
}

async function buildIn({ folder, compiler, tfjsNode, library, cudaLibraries, onProgress }: Build): Promise<LinkResult> {
  onProgress(
    `compiling the binding of ${tfjsNode.name} ${tfjsNode.version} and the fused ops with ${compiler.version} (about half a minute)`,
  )
  const [binding, ops] = [bindingFileName, opsFileName].map((name) => path.join(folder, name))
  if (binding === undefined || ops === undefined) throw new RangeError('two files are built')
  // Both end before the folder goes, whatever becomes of the other.
  const [compiled, compiledOps] = await Promise.allSettled([
    compileBinding({ compiler, library, tfjsNode: tfjsNode.folder, cudaLibraries, output: binding }),
    compileOps({ compiler, library, output: ops }),
  ])
  if (compiled.status === 'rejected') throw compiled.reason
  if (compiledOps.status === 'rejected') throw compiledOps.reason
  onProgress('checking that it computes')
  // Without a manifest the ops stay out: the binding first.
  const verified = await verifyBinding(binding)
  checkVersion(verified.version)
  const manifest: LinkManifest = {
    format: 1,
    version: verified.version,
    flavour: library.flavour,
    library: library.libraries[0] ?? '',
    cuda: library.cuda,
    tfjsNode: `${tfjsNode.name} ${tfjsNode.version}`,
    compiler: compiler.version,
  }
  writeFileSync(path.join(folder, manifestFileName), `${JSON.stringify(manifest, null, 2)}\n`)
  const opsProblem = compiledOps.value ?? (verified.isUsingGpu ? null : await verifyOps(folder))
  if (opsProblem !== null) rmSync(ops, { force: true })
  const notes = [...notesOn(library, verified), ...notesOnOps(opsProblem)]
  return { manifest, verified: { ...verified, missingOps: opsProblem }, notes }
}

/** Why the ops beside the binding cannot be used, or null. */
async function verifyOps(folder: string): Promise<string | null> {
  try {
    return (await verifyBinding(folder)).missingOps
  } catch (error) {
    if (error instanceof TensorflowLinkError) return error.message
    throw error
  }
}

/** Removes what `linkTensorflow` put into `folder`, and nothing else. */
export function unlinkTensorflow(folder: string): void {
  for (const name of [manifestFileName, bindingFileName, opsFileName]) rmSync(path.join(folder, name), { force: true })
}

/** The ops first: none are loaded with a binding or a manifest that they do not fit. */
function moveInto(folder: string, fresh: string): void {
  for (const name of [opsFileName, bindingFileName, manifestFileName]) {
    const built = path.join(fresh, name)
    if (existsSync(built)) renameSync(built, path.join(folder, name))
    else rmSync(path.join(folder, name), { force: true })
  }
}

async function findLibrary(python: string | null, lib: string | null): Promise<Source> {
  if (lib !== null) return { library: inFolder(lib), cudaLibraries: [] }
  const found = await findPythonTensorflow(python)
  const library = inWheel(found.folder, found.version)
  const isCuda = library.flavour === 'cuda'
  return { library, cudaLibraries: isCuda ? findCudaLibraries(found.nvidiaFolders, library.cuda?.version ?? null) : [] }
}

function notesOn({ flavour, cuda }: Libtensorflow, { version, isUsingGpu }: VerifiedBinding): string[] {
  const notes: string[] = []
  if (flavour === 'cuda' && !isUsingGpu)
    notes.push(`it runs on the CPU: ${plainText(explainMissingGpu(cuda?.version ?? null))}`)
  if (!isTriedVersion(version)) notes.push(`Octavo's tests ran with TensorFlow 2.21, not with ${plainText(version)}`)
  return notes
}

function notesOnOps(problem: string | null): string[] {
  if (problem === null) return []
  return [`the fused ops for CPUs are left out, so that decoding takes two to three times as long: ${problem}`]
}
