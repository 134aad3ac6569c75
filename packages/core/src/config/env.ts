import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The only user of `process.env` in core is this file: everything else takes values. */
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
}

export function readEnv(env: Readonly<Record<string, string | undefined>> = process.env): OctavoEnv {
  const text = (name: string): string | null => env[name]?.trim() || null
  const anyCase = (name: string): string | null => text(name.toLowerCase()) ?? text(name)
  const hfHome = text('HF_HOME')
  const tokenFile = text('HF_TOKEN_PATH') ?? join(hfHome ?? join(homedir(), '.cache', 'huggingface'), 'token')
  return {
    backend: text('OCTAVO_BACKEND'),
    tensorflow: text('OCTAVO_TENSORFLOW'),
    cudaVisibleDevices: env['CUDA_VISIBLE_DEVICES']?.trim() ?? null,
    dataHome: text('XDG_DATA_HOME'),
    hfToken: text('HF_TOKEN') ?? text('HUGGING_FACE_HUB_TOKEN') ?? readToken(tokenFile),
    isHfOffline: /^(1|true|yes|on)$/i.test(env['HF_HUB_OFFLINE'] ?? ''),
    hfCacheDir: text('HF_HUB_CACHE') ?? (hfHome === null ? null : `${hfHome}/hub`),
    hfEndpoint: text('HF_ENDPOINT'),
    proxy: {
      httpProxy: anyCase('HTTP_PROXY'),
      httpsProxy: anyCase('HTTPS_PROXY'),
      noProxy: anyCase('NO_PROXY'),
    },
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
export function setEnvDefault(name: string, value: string, env: NodeJS.ProcessEnv = process.env): void {
  env[name] ??= value
}
