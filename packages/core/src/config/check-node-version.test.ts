import { expect, it } from 'vitest'
import { InvalidConfigError } from '../errors.ts'
import { checkNodeVersion } from './check-node-version.ts'

it.each(['20.9.0', '22.11.0', '18.20.8'])('says that Node %s is too old', (version) => {
  expect(() => checkNodeVersion(version)).toThrow(InvalidConfigError)
  expect(() => checkNodeVersion(version)).toThrow(`node: is ${version}, but Octavo needs Node 22.12 or newer`)
})

it.each(['22.12.0', '24.0.0', '100.0.0'])('takes Node %s', (version) => checkNodeVersion(version))
