import { readFileSync } from 'node:fs'
import { flagOf, InvalidConfigError } from '@octavo/core'
import { checkTls, type TlsOptions } from '@octavo/server'

export interface TlsFiles {
  readonly sslKeyfile: string | null
  readonly sslCertfile: string | null
  readonly sslCaCerts: string | null
}

/** `null` for plain HTTP. @throws InvalidConfigError for files that are not there, are too few, or do not go together */
export function readTls(files: TlsFiles): TlsOptions | null {
  const { sslKeyfile, sslCertfile, sslCaCerts } = files
  if (sslKeyfile === null || sslCertfile === null) {
    const [missing] = Object.entries({ sslKeyfile, sslCertfile }).find(([, file]) => file === null) ?? []
    const given = sslKeyfile ?? sslCertfile ?? sslCaCerts
    if (given === null || missing === undefined) return null
    throw new InvalidConfigError(missing, `is missing; TLS needs ${flagOf('sslKeyfile')} and ${flagOf('sslCertfile')}.`)
  }
  const tls = {
    key: read(sslKeyfile, 'sslKeyfile'),
    cert: read(sslCertfile, 'sslCertfile'),
    ...(sslCaCerts !== null && { clientCa: read(sslCaCerts, 'sslCaCerts') }),
  }
  checkTls(tls)
  return tls
}

function read(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new InvalidConfigError(option, `${file} cannot be read (${code}).`)
  }
}
