import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import path from 'node:path'
import type { LinkManifest } from '../libtensorflow/linked-folder.ts'
import { plainText } from '../../../util/plain-text.ts'
import { TensorflowLinkError } from './tensorflow-link-error.ts'

/** A TensorFlow that programs can link to. All paths are absolute and without symbolic links. */
export interface Libtensorflow {
  /** The library with the C API first, then, where it is one of its own, the framework. */
  readonly libraries: readonly string[]
  readonly include: string
  /** Null where only the library itself can say. */
  readonly version: string | null
  readonly flavour: LinkManifest['flavour']
  readonly cuda: LinkManifest['cuda']
}

/** The oldest one that tfjs-node's sources were written for, and the newest that Octavo was run with. */
const oldestVersion = { major: 2, minor: 9 }
const newestTried = { major: 2, minor: 21 }

const isMac = process.platform === 'darwin'
const library = (name: string): string => (isMac ? `lib${name}.2.dylib` : `lib${name}.so.2`)

/**
 * The library in a wheel's folder `…/site-packages/tensorflow`.
 *
 * @throws TensorflowLinkError when the wheel is too old or lacks the library or the headers.
 */
export function inWheel(folder: string, version: string | null): Libtensorflow {
  checkVersion(version)
  const file = path.join(folder, library('tensorflow_cc'))
  if (!existsSync(file)) {
    throw new TensorflowLinkError(
      'tensorflow',
      `The TensorFlow in ${plainText(folder)} has no ${path.basename(file)} to link to: wheels of TensorFlow 2.14 and newer from ` +
        'pip have it. Upgrade it, or name an unpacked libtensorflow with --lib (for conda the environment’s folder).',
    )
  }
  return {
    libraries: [file, path.join(folder, library('tensorflow_framework'))]
      .filter((candidate) => existsSync(candidate))
      .map((found) => realpathSync(found)),
    include: checkHeaders(path.join(folder, 'include')),
    version,
    ...readBuildInfo(folder),
  }
}

/**
 * The library in an unpacked libtensorflow (`lib/`, `include/`) or in a wheel's folder.
 *
 * @throws TensorflowLinkError when there is none.
 */
export function inFolder(folder: string): Libtensorflow {
  const absolute = path.resolve(folder)
  if (statSync(absolute, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new TensorflowLinkError('tensorflow', `--lib names ${plainText(folder)}, which is no folder.`)
  if (existsSync(path.join(absolute, library('tensorflow_cc')))) return inWheel(absolute, null)
  const lib = path.join(absolute, 'lib')
  const names = ['tensorflow', 'tensorflow_cc']
  const file = names
    .flatMap((name) => [library(name), isMac ? `lib${name}.dylib` : `lib${name}.so`])
    .map((name) => path.join(lib, name))
    .find((candidate) => existsSync(candidate))
  if (file === undefined) {
    throw new TensorflowLinkError(
      'tensorflow',
      `There is no ${library('tensorflow')} in ${plainText(lib)}. --lib takes a folder with lib/ and include/, as libtensorflow's ` +
        'archive unpacks, or a wheel’s folder site-packages/tensorflow.',
    )
  }
  const real = realpathSync(file)
  const version = /[.](\d+[.]\d+[.]\d+)(?:[.]dylib)?$/.exec(real)?.[1] ?? null
  checkVersion(version)
  const framework = path.join(path.dirname(file), library('tensorflow_framework'))
  return {
    libraries: existsSync(framework) ? [real, realpathSync(framework)] : [real],
    include: checkHeaders(path.join(absolute, 'include')),
    version,
    flavour: 'unknown',
    cuda: null,
  }
}

/** @throws TensorflowLinkError for one that the binding cannot be built against. */
export function checkVersion(version: string | null): void {
  if (version === null) return
  const [, major, minor] = /^(\d+)[.](\d+)/.exec(version) ?? []
  const { major: oldest, minor: oldestMinor } = oldestVersion
  if (Number(major) === oldest && Number(minor) >= oldestMinor) return
  throw new TensorflowLinkError(
    'version',
    `TensorFlow ${plainText(version)} cannot be linked: tfjs-node's sources need 2.${oldestMinor} or newer of the line 2.x. ` +
      `Install ${newestTried.major}.${newestTried.minor}, with which Octavo is tested.`,
  )
}

/** Whether Octavo's tests have run on this version's minor line. */
export function isTriedVersion(version: string): boolean {
  return version.startsWith(`${newestTried.major}.${newestTried.minor}.`)
}

/** What the binding's sources include. */
function checkHeaders(include: string): string {
  const headers = ['tensorflow/c/c_api.h', 'tensorflow/c/eager/c_api.h', 'tensorflow/core/platform/ctstring_internal.h']
  const missing = headers.filter((header) => !existsSync(path.join(include, header)))
  if (missing.length === 0) return realpathSync(include)
  throw new TensorflowLinkError(
    'headers',
    `TensorFlow's headers are incomplete: ${plainText(include)} has no ${missing.join(', no ')}. Install TensorFlow anew, from ` +
      'pip or with the whole archive of libtensorflow.',
  )
}

/** `python/platform/build_info.py` of a wheel, read as text: `('cuda_version', '12.5.1'), ('is_cuda_build', True)`. */
function readBuildInfo(folder: string): Pick<Libtensorflow, 'flavour' | 'cuda'> {
  const file = path.join(folder, 'python', 'platform', 'build_info.py')
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size === 0 || size > 1024 ** 2) return { flavour: 'unknown', cuda: null }
  const text = readFileSync(file, 'utf8')
  const isBuild = (name: string): boolean => new RegExp(`['"]is_${name}_build['"]\\s*[,:]\\s*True`).test(text)
  const versionOf = (name: string): string | null =>
    new RegExp(`['"]${name}_version['"]\\s*[,:]\\s*['"]([\\d.]{1,20})['"]`).exec(text)?.[1] ?? null
  if (isBuild('cuda')) return { flavour: 'cuda', cuda: { version: versionOf('cuda'), cudnn: versionOf('cudnn') } }
  return { flavour: isBuild('rocm') ? 'rocm' : 'cpu', cuda: null }
}
