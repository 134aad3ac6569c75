import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

export interface Certificate {
  readonly key: string
  readonly cert: string
}

export interface Certificates {
  readonly ca: string
  /** For localhost and 127.0.0.1. */
  readonly server: Certificate
  readonly client: Certificate
  /** Of another authority. */
  readonly stranger: Certificate
}

/** Certificates of an authority of their own, by the machine's openssl. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-certificates-'))
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  const read = (name: string): string => readFileSync(path.join(folder, name), 'utf8')
  const authority = (name: string): void =>
    openssl('req', '-x509', ...newKey(name), '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}`)
  const signed = (name: string, ca: string): Certificate => {
    writeFileSync(path.join(folder, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    openssl('req', ...newKey(name), '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const by = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial']
    openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`, '-days', '2', '-extfile', 'names')
    return { key: read(`${name}.key`), cert: read(`${name}.pem`) }
  }
  try {
    authority('ca')
    authority('other')
    return {
      ca: read('ca.pem'),
      server: signed('server', 'ca'),
      client: signed('client', 'ca'),
      stranger: signed('stranger', 'other'),
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function newKey(name: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`]
}
