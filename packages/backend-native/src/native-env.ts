/** The only reader of `process.env` in this package. */
export interface NativeEnv {
  /** OCTAVO_THREADS: how many threads compute, where no option says so. */
  readonly threads: string | null
  /** OCTAVO_NATIVE_ADDON: another build of the addon, such as one with sanitizers. */
  readonly addonFile: string | null
}

export function readNativeEnv(env: Readonly<Record<string, string | undefined>> = process.env): NativeEnv {
  return { threads: env['OCTAVO_THREADS']?.trim() || null, addonFile: env['OCTAVO_NATIVE_ADDON']?.trim() || null }
}
