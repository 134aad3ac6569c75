/** The variables that this package knows, for docs/environment.md. */
export const nativeEnvironmentTable = {
  OCTAVO_THREADS: 'Threads of the native backend where no option says so; all CPUs where it is not set.',
  OCTAVO_PACKING: 'When weights are packed for the native kernels: `deferred`, after the load, or `at-load`.',
  OCTAVO_NATIVE_ADDON: "Another build of the native addon: its file's path.",
} as const

/** The only reader of `process.env` in this package. */
export interface NativeEnv {
  /** OCTAVO_THREADS: how many threads compute, where no option says so. */
  readonly threads: string | null
  /** OCTAVO_PACKING: when weights of files are packed, where no option says so. */
  readonly packing: string | null
  /** OCTAVO_NATIVE_ADDON: another build of the addon, such as one with sanitizers. */
  readonly addonFile: string | null
}

export function readNativeEnv(env: Readonly<Record<string, string | undefined>> = process.env): NativeEnv {
  const text = (name: keyof typeof nativeEnvironmentTable): string | null => env[name]?.trim() || null
  return { threads: text('OCTAVO_THREADS'), packing: text('OCTAVO_PACKING'), addonFile: text('OCTAVO_NATIVE_ADDON') }
}
