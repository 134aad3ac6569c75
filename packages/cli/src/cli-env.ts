/** The variables that the command knows beside those of its packages, for docs/environment.md. */
export const cliEnvironmentTable = {
  OCTAVO_API_KEY: 'The key that requests to `octavo serve` must bring where no `--api-key` is given.',
  OCTAVO_ADMIN_API_KEY: 'The key of the endpoints for operators where no `--admin-api-key` is given.',
} as const

export interface CliEnv {
  readonly apiKey: string | null
  readonly adminApiKey: string | null
}

/** The only reader of `process.env` in this package. */
export function readCliEnv(env: Readonly<Record<string, string | undefined>> = process.env): CliEnv {
  const get = (name: keyof typeof cliEnvironmentTable): string | null => env[name]?.trim() || null
  return { apiKey: get('OCTAVO_API_KEY'), adminApiKey: get('OCTAVO_ADMIN_API_KEY') }
}
