import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { OptionRow } from '@octavo/core'
import { Command } from 'commander'
import { afterAll, describe, expect, it } from 'vitest'
import { addEngineFlags, servingGroups } from '../flags/engine-flags.ts'
import { addOptionFlags } from '../flags/option-flags.ts'
import { serveOptionTable } from '../flags/serve-options.ts'
import { gatherOptions, type ServeSettings, serveSettings, serveTable } from '../serving/serve-settings.ts'
import { keyOf } from './config-file.ts'
import { describeOptions } from './describe-options.ts'
import { describeUnknownVariables } from './unknown-variables.ts'
import { variableOf } from './variable-of.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

let numFiles = 0
function fileWith(text: string): string {
  const file = path.join(folder, `${numFiles++}.yaml`)
  writeFileSync(file, text)
  return file
}

function gather(args: readonly string[], env: Record<string, string> = {}): Command {
  const command = new Command('serve').argument('[model]').exitOverride()
  addEngineFlags(addOptionFlags(command, serveOptionTable), servingGroups)
  command.parseOptions([...args])
  command.args = command.parseOptions([...args]).operands
  gatherOptions(command, env)
  return command
}

const settings = (args: readonly string[], env?: Record<string, string>): ServeSettings =>
  serveSettings(gather(args, env))

/** A value other than the default, as variables and files write it. */
function otherThanDefault({ type, default: usual }: OptionRow): { text: string; value: unknown } {
  switch (type.kind) {
    case 'boolean':
      return { text: String(usual !== true), value: usual !== true }
    case 'choice': {
      const value = type.choices.find((choice) => choice !== usual)
      return { text: String(value), value }
    }
    case 'integer':
    case 'number':
      return { text: String(type.min + 1), value: type.min + 1 }
    case 'names':
      return { text: 'a\nb', value: ['a', 'b'] }
    case 'template':
      return { text: '{{ messages }}', value: '{{ messages }}' }
    case 'integers':
      return { text: '3,4', value: '3,4' }
    case 'memory':
      return { text: '3GiB', value: '3GiB' }
    case 'text':
      return { text: 'x', value: 'x' }
  }
}

describe('every option', () => {
  const rows = Object.entries(serveTable).filter(([name]) => name !== 'config')

  it.each(rows)('%s may be a variable or a line of a file', (name, row) => {
    const { text, value } = otherThanDefault(row)
    expect(gather([], { [variableOf(name)]: text }).getOptionValue(name)).toEqual(value)
    const file = fileWith(`${keyOf(name)}: ${JSON.stringify(typeof value === 'string' ? text : value)}`)
    expect(gather(['--config', file]).getOptionValue(name)).toEqual(value)
  })
})

describe('who goes before whom', () => {
  it('flags, then variables, then the file, then defaults', () => {
    const file = fileWith('port: 3\nmax-num-seqs: 3\nshutdown_timeout: 3\nmodel: file-model\nmax-model-len: 4k')
    const env = { OCTAVO_PORT: '2', OCTAVO_MAX_NUM_SEQS: '2', OCTAVO_CONFIG: file }
    const { server, models } = settings(['--port', '1'], env)
    expect(server).toMatchObject({ port: 1, shutdownTimeout: 3, host: '127.0.0.1', config: file })
    expect(models).toEqual([
      { model: 'file-model', flags: expect.objectContaining({ maxNumSeqs: 2, maxModelLen: 4000 }) },
    ])
    expect(settings(['argument'], { OCTAVO_MODEL: 'variable' }).models[0]?.model).toBe('argument')
    expect(settings([], { OCTAVO_MODEL: 'variable' }).models[0]?.model).toBe('variable')
    expect(() => settings([])).toThrow('No model')
  })

  it('is shown, and no secret with it', () => {
    const file = fileWith('api-key: [planted-one, planted-two]\nhost: 0.0.0.0')
    const command = gather(['m', '--config', file, '--no-restart'], { OCTAVO_ADMIN_API_KEY: 'planted-three' })
    const text = describeOptions(command, serveTable, file)
    expect(text).not.toContain('planted')
    expect(text.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['options, all others by default:'],
      ['model', 'm', 'argument'],
      ['config', expect.any(String), '--config'],
      ['host', '0.0.0.0', file],
      ['api-key', '2 (hidden)', file],
      ['admin-api-key', '(hidden)', 'OCTAVO_ADMIN_API_KEY'],
      ['restart', 'false', '--restart'],
    ])
  })
})

describe('what is wrong', () => {
  it.each([
    [{ OCTAVO_MAX_NUM_SEQS: 'many' }, 'OCTAVO_MAX_NUM_SEQS: must be an integer from 1 to 65536, got "many"'],
    [{ OCTAVO_RESTART: 'maybe' }, 'OCTAVO_RESTART: must be true or false, got "maybe"'],
    [{ OCTAVO_DTYPE: 'float8' }, 'OCTAVO_DTYPE: must be one of auto, float32'],
    [{ OCTAVO_CONFIG: '/no/such/file' }, '/no/such/file: cannot be read (ENOENT)'],
  ])('in the environment is named: %j', (env, message) => {
    expect(() => gather(['m'], env as Record<string, string>)).toThrow(message)
  })

  it.each([
    ['max-num-sqs: 3', 'there is no option "max-num-sqs"; did you mean max-num-seqs?'],
    ['gpu-memory-utilization: 0.9', '--kv-cache-memory says it for the KV cache'],
    ['port: 70000', 'port: must be an integer from 0 to 65535, got 70000'],
    ['port: "http"', 'port: must be an integer from 0 to 65535, got "http"'],
    ['port:', 'port has no value'],
    ['max-num-seqs: 1\nmax_num_seqs: 2', 'max_num_seqs is there twice'],
    ['config: other.yaml', 'a file names no other file'],
    ['- port', 'must have options by their names'],
    ['port: [1', 'is no YAML'],
    ['api-key: {planted: 1}', 'api-key: must be one or more non-empty names, got something else'],
    ['api-key: "planted', 'is no YAML'],
    ['models: 3', 'models must be a list'],
    ['models: [{model: a, port: 3}]', 'there is no option "port"'],
  ])('in a file is named: %j', (text, message) => {
    const file = fileWith(text)
    const read = () => gather(['--config', file])
    expect(read).toThrow(message)
    expect(read).toThrow(file)
    expect(read).not.toThrow(/planted/)
  })

  it('in the names of variables is said, but for what Kubernetes sets', () => {
    const env = {
      OCTAVO_APIKEY: 'planted',
      OCTAVO_PORT: 'tcp://10.0.0.1:80',
      OCTAVO_PORT_80_TCP_ADDR: 'x',
      OCTAVO_SERVICE_HOST: 'x',
    }
    const said = describeUnknownVariables(Object.keys(serveTable).map(variableOf), env)
    expect(said).toEqual(['the environment has OCTAVO_APIKEY, which is no option; the nearest is OCTAVO_API_KEY'])
    expect(gather(['m'], env).getOptionValue('port')).toBeUndefined()
  })
})

describe('several models', () => {
  it('have the options of the file and their own; flags hold for all', () => {
    const file = fileWith(
      'max-num-seqs: 5\nblock-size: 8\nmodels:\n- {model: a, max-num-seqs: 6}\n- {model: b, block-size: 32}',
    )
    const { models } = settings(['--config', file, '--block-size', '4'])
    expect(models.map(({ model, flags }) => [model, flags.maxNumSeqs, flags.blockSize])).toEqual([
      ['a', 6, 4],
      ['b', 5, 4],
    ])
  })

  it.each([
    ['models: [{model: a}]', ['m'], 'beside the models'],
    ['models: [{block-size: 8}]', [], 'model 1: has no model'],
    ['models: [{model: a, block-size: 0}]', [], 'model 1: block-size: must be an integer'],
  ])('are refused: %j %j', (text, args, message) => {
    expect(() => settings([...args, '--config', fileWith(text)])).toThrow(message)
  })
})
