/** The variables that the command knows beside those of its packages, for docs/environment.md. */
export const cliEnvironmentTable = {
  OCTAVO_API_KEY: 'The key that requests to `octavo serve` must bring where no `--api-key` is given.',
} as const

/** The only reader of `process.env` in this package. */
export function readCliEnv(env: Readonly<Record<string, string | undefined>> = process.env): { apiKey: string | null } {
  const name: keyof typeof cliEnvironmentTable = 'OCTAVO_API_KEY'
  return { apiKey: env[name]?.trim() || null }
}
