import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { plainText } from '../../../util/plain-text.ts'
import { TensorflowLinkError } from './tensorflow-link-error.ts'

/** What TensorFlow opens at run time, by the beginning of its name. */
const wanted =
  /^lib(cudart|cublas|cublasLt|cufft|curand|cusolver|cusparse|cudnn|cupti|nccl|nvJitLink|nvrtc)[.]so[.](\d+)$/

/**
 * CUDA's libraries under the folders `site-packages/nvidia`, where the packages nvidia-*-cu12 put them: each package has
 * a folder with `lib/`. Empty where there are none: the machine's own are used then.
 *
 * @throws TensorflowLinkError when they are of another CUDA than TensorFlow was built for.
 */
export function findCudaLibraries(nvidiaFolders: readonly string[], cudaVersion: string | null): string[] {
  const files = nvidiaFolders
    .flatMap((folder) => foldersIn(folder).map((name) => path.join(folder, name, 'lib')))
    .flatMap((lib) => namesIn(lib).map((name) => path.join(lib, name)))
    .filter((file) => wanted.test(path.basename(file)))
    .sort()
  checkRuntime(files, cudaVersion)
  return files
}

/** libcudart's number is CUDA's major version; a library of another one would not be opened, and the GPU not be seen. */
function checkRuntime(files: readonly string[], cudaVersion: string | null): void {
  const [needed] = cudaVersion?.split('.') ?? []
  const runtimes = files
    .map((file) => wanted.exec(path.basename(file)))
    .flatMap((match) => (match?.[1] === 'cudart' && match[2] !== undefined ? [match[2]] : []))
  if (needed === undefined || runtimes.length === 0 || runtimes.includes(needed)) return
  throw new TensorflowLinkError(
    'cuda',
    `This TensorFlow was built for CUDA ${plainText(cudaVersion ?? '')}, but its Python has the libraries of CUDA ` +
      `${runtimes.join(' and ')}. Install those that belong to it: \`pip install 'tensorflow[and-cuda]'\` of the same version.`,
  )
}

function foldersIn(folder: string): string[] {
  return namesIn(folder).filter(
    (name) => statSync(path.join(folder, name), { throwIfNoEntry: false })?.isDirectory() === true,
  )
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
