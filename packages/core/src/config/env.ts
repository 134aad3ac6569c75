import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The variables that core knows; what others add stands beside this table in docs/environment.md. */
export const environmentTable = {
  OCTAVO_BACKEND: 'Which backend to use where no option names one.',
  OCTAVO_TENSORFLOW: "A folder that `octavo tensorflow link` made, or a binding's file (docs/tensorflow.md).",
  OCTAVO_TENSORFLOW_ISA:
    'The instruction set of the fused ops on TensorFlow: `avx512`, `avx2` or `baseline`; the widest that the CPU has where it is not set.',
  CUDA_VISIBLE_DEVICES: 'Which GPUs TensorFlow may use; empty or `-1`: none.',
  TF_CPP_MIN_LOG_LEVEL: "TensorFlow's level of logs; 1, warnings and errors, where it is not set.",
  VIRTUAL_ENV: 'The Python environment in which `octavo tensorflow link` looks for TensorFlow first.',
  CXX: 'The compiler of `octavo tensorflow link`, and of the native addon where it is built.',
  XDG_DATA_HOME: "The user's data folder, where linked bindings are; `~/.local/share` where it is not set.",
  HF_TOKEN: 'Access to gated and private repositories of the hub.',
  HUGGING_FACE_HUB_TOKEN: 'The same, where `HF_TOKEN` is not set.',
  HF_TOKEN_PATH: 'The file in which `hf auth login` saved the token; `token` in `HF_HOME` where it is not set.',
  HF_HOME: 'The folder of the Hugging Face tools; `~/.cache/huggingface` where it is not set.',
  HF_HUB_CACHE: 'The folder of downloaded models; `hub` in `HF_HOME` where it is not set.',
  HF_HUB_OFFLINE: '`1`: use downloaded models only, and ask no hub.',
  HF_ENDPOINT: 'Another hub, such as a mirror.',
  HTTP_PROXY: 'The proxy of downloads over http; in lower case too.',
  HTTPS_PROXY: 'The proxy of downloads over https; in lower case too.',
  NO_PROXY: 'Hosts that are reached without the proxy; in lower case too.',
} as const

type Variable = keyof typeof environmentTable

type Environment = Readonly<Record<string, string | undefined>>

/** What core makes of them. The only user of `process.env` in core is this file: everything else takes values. */
export interface OctavoEnv {
  /** OCTAVO_BACKEND: which backend to use when no option names one. */
  readonly backend: string | null
  /** OCTAVO_TENSORFLOW: a folder that `octavo tensorflow link` made, or a binding's file. */
  readonly tensorflow: string | null
  /** CUDA_VISIBLE_DEVICES: which GPUs programs may use; empty or `-1` is none, `null` all. */
  readonly cudaVisibleDevices: string | null
  /** XDG_DATA_HOME: the user's data folder; `null` = its default place. */
  readonly dataHome: string | null
  /**
   * HF_TOKEN (or HUGGING_FACE_HUB_TOKEN), else what `hf auth login` saved (HF_TOKEN_PATH, HF_HOME/token): access to gated
   * and private repositories.
   */
  readonly hfToken: string | null
  /** HF_HUB_OFFLINE: use the local cache only. */
  readonly isHfOffline: boolean
  /** HF_HUB_CACHE, else HF_HOME/hub: the standard cache of the Hugging Face tools; `null` = its default place. */
  readonly hfCacheDir: string | null
  /** HF_ENDPOINT: another hub, such as a mirror. */
  readonly hfEndpoint: string | null
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case: for downloads. */
  readonly proxy: {
    readonly httpProxy: string | null
    readonly httpsProxy: string | null
    readonly noProxy: string | null
  }
  /** VIRTUAL_ENV: the folder of the active Python environment. */
  readonly virtualEnv: string | null
  /** CXX: the C++ compiler to take. */
  readonly compiler: string | null
}

export function readEnv(env: Environment = process.env): OctavoEnv {
  const get = (name: Variable): string | undefined => env[name]?.trim()
  const text = (name: Variable): string | null => get(name) || null
  const anyCase = (name: Variable): string | null => env[name.toLowerCase()]?.trim() || text(name)
  const hfHome = text('HF_HOME')
  const tokenFile = text('HF_TOKEN_PATH') ?? join(hfHome ?? join(homedir(), '.cache', 'huggingface'), 'token')
  return {
    backend: text('OCTAVO_BACKEND'),
    tensorflow: text('OCTAVO_TENSORFLOW'),
    cudaVisibleDevices: get('CUDA_VISIBLE_DEVICES') ?? null,
    dataHome: text('XDG_DATA_HOME'),
    hfToken: text('HF_TOKEN') ?? text('HUGGING_FACE_HUB_TOKEN') ?? readToken(tokenFile),
    isHfOffline: /^(1|true|yes|on)$/i.test(get('HF_HUB_OFFLINE') ?? ''),
    hfCacheDir: text('HF_HUB_CACHE') ?? (hfHome === null ? null : `${hfHome}/hub`),
    hfEndpoint: text('HF_ENDPOINT'),
    proxy: {
      httpProxy: anyCase('HTTP_PROXY'),
      httpsProxy: anyCase('HTTPS_PROXY'),
      noProxy: anyCase('NO_PROXY'),
    },
    virtualEnv: text('VIRTUAL_ENV'),
    compiler: text('CXX'),
  }
}

/** `null` where nobody has logged in here. */
function readToken(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim() || null
  } catch {
    return null
  }
}

/**
 * Sets a variable for libraries that are loaded later, unless the user has set it, be it to nothing. Reaches them only where
 * this thread's environment is the process's: in the main thread, and in workers that share it.
 */
export function setEnvDefault(name: Variable, value: string, env: NodeJS.ProcessEnv = process.env): void {
  env[name] ??= value
}

/** This process's variables with some of them changed, for a program that is started with them. */
export function extendEnv(
  changes: Partial<Record<Variable, string>>,
  env: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  return { ...env, ...changes }
}
