import { randomBytes } from 'node:crypto'
import { sha256Of } from '@octavo/server'
import type { Command } from 'commander'

interface KeyFlags {
  readonly name?: string
  readonly json?: boolean
}

/** Bytes that nobody guesses, so that a plain hash of them can be kept. */
const numBytes = 32

export function addKeyCommand(program: Command): void {
  program
    .command('key')
    .description('make an API key and the hash that a key file holds')
    .option('--name <name>', 'what messages of the server call it')
    .option('--json', 'as one JSON object')
    .action(makeKey)
}

/** The key is shown here and kept nowhere. */
function makeKey({ name, json = false }: KeyFlags): void {
  const key = `octavo-${randomBytes(numBytes).toString('base64url')}`
  const sha256 = sha256Of(key).toString('hex')
  if (json)
    return void process.stdout.write(`${JSON.stringify({ ...(name !== undefined && { name }), key, sha256 })}\n`)
  const lines = [
    `key, shown this once:       ${key}`,
    'entry for --api-key-file:',
    ...(name === undefined ? [`- sha256: ${sha256}`] : [`- name: ${JSON.stringify(name)}`, `  sha256: ${sha256}`]),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}
