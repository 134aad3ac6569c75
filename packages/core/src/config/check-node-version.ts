import { InvalidConfigError } from '../errors.ts'

/**
 * An older Node would stop somewhere inside with a TypeError.
 * @throws InvalidConfigError
 */
export function checkNodeVersion(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 12)) return
  throw new InvalidConfigError(
    'node',
    `is ${version}, but Octavo needs Node 22.12 or newer; install one of https://nodejs.org.`,
  )
}
