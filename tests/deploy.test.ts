import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { octavo, serveTiny } from './program.ts'

const root = path.join(import.meta.dirname, '..')
const deploy = path.join(root, 'deploy')
const read = (name: string): string => readFileSync(path.join(deploy, name), 'utf8')

/** What YAML makes. */
type Value = unknown

/** Every value with this key, however deep. */
function valuesOf(key: string, within: Value): Value[] {
  if (typeof within !== 'object' || within === null) return []
  if (Array.isArray(within)) return within.flatMap((one) => valuesOf(key, one))
  return Object.entries(within as object).flatMap(([name, value]) => [
    ...(name === key ? [value] : []),
    ...valuesOf(key, value),
  ])
}

const manifests = readdirSync(path.join(deploy, 'kubernetes')).filter((name) => name !== 'octavo.yaml')
const deployment = parse(read('kubernetes/deployment.yaml')) as Value
const config = parse(read('kubernetes/octavo.yaml')) as Record<string, Value>
const compose = parse(read('compose.yaml')) as Value
const dockerfile = read('Dockerfile')
const unit = read('systemd/octavo.service')

let help = ''
beforeAll(async () => {
  await using program = octavo(['serve', '--help'])
  await program.exitCode
  help = program.stdout
})

const hasFlag = (flag: string): boolean =>
  help.includes(` ${flag} `) || help.includes(` ${flag.replace('--', '--[no-]')} `)
const hasVariable = (name: string): boolean =>
  hasFlag(`--${name.replace('OCTAVO_', '').toLowerCase().replaceAll('_', '-')}`)

describe('what stands in deploy/', () => {
  it('names flags, variables and keys that there are', () => {
    const texts = [
      dockerfile,
      read('compose.yaml'),
      unit,
      read('kubernetes/deployment.yaml'),
      read('kubernetes/kustomization.yaml'),
    ]
    const variables = texts
      .flatMap((text) => text.match(/\bOCTAVO_[A-Z_]+/g) ?? [])
      .filter((name) => name !== 'OCTAVO_VERSION')
    expect(variables.length).toBeGreaterThan(6)
    expect(variables.filter((name) => !hasVariable(name) && name !== 'OCTAVO_MODEL')).toEqual([])
    const args = [...valuesOf('args', deployment), ...valuesOf('command', compose)].flat().map(String)
    const flags = [...args, ...(/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '').split(' ')].filter((arg) =>
      arg.startsWith('--'),
    )
    expect(flags.length).toBeGreaterThan(1)
    expect(flags.filter((flag) => !hasFlag(flag))).toEqual([])
    expect(args[0]).toBe('serve')
    expect(Object.keys(config).filter((key) => !hasFlag(`--${key}`) && key !== 'model')).toEqual([])
  })

  it('is YAML that Kubernetes can take, and every file of it', () => {
    for (const name of manifests)
      for (const document of parseAllDocuments(read(`kubernetes/${name}`))) {
        expect(document.errors, name).toEqual([])
        expect(document.toJS(), name).toMatchObject({ apiVersion: expect.any(String), kind: expect.any(String) })
      }
    const { resources, configMapGenerator } = parse(read('kubernetes/kustomization.yaml'))
    for (const name of [...resources, ...configMapGenerator.flatMap(({ files }: { files: string[] }) => files)])
      expect(existsSync(path.join(deploy, 'kubernetes', name)), name).toBe(true)
    expect(manifests.filter((name) => !resources.includes(name)).toSorted()).toEqual([
      'kustomization.yaml',
      'service-monitor.yaml',
    ])
  })

  it('mounts what it reads, and looks at the ports that are open', () => {
    const volumes = valuesOf('volumes', deployment)
      .flat()
      .map((one) => (one as { name: string }).name)
    const mounts = valuesOf('volumeMounts', deployment).flat() as { name: string; mountPath: string }[]
    expect(mounts.map(({ name }) => name).toSorted()).toEqual(volumes.toSorted())
    const isMounted = (file: string): boolean => mounts.some(({ mountPath }) => file.startsWith(mountPath))
    expect(
      [config['api-key-file'], valuesOf('args', deployment).flat().at(-1), '/models'].map(String).map(isMounted),
    ).toEqual([true, true, true])
    const ports = new Set(valuesOf('containerPort', deployment))
    expect(ports).toEqual(new Set([config['port']]))
    const names = (valuesOf('ports', deployment).flat() as { name: string }[]).map(({ name }) => name)
    expect(names).toEqual(
      expect.arrayContaining([
        ...valuesOf('port', valuesOf('httpGet', deployment)),
        ...valuesOf('targetPort', parse(read('kubernetes/service.yaml')) as Value),
      ]),
    )
    expect(dockerfile).toContain(`EXPOSE ${String(config['port'])}`)
    expect(dockerfile).toContain(`OCTAVO_PORT=${String(config['port'])}`)
  })

  it('gives the drain the time that it needs', () => {
    const [grace] = valuesOf('terminationGracePeriodSeconds', deployment)
    const [sleep] = valuesOf('seconds', valuesOf('preStop', deployment))
    expect(Number(grace)).toBeGreaterThan(Number(sleep) + Number(config['shutdown-timeout']))
    expect(Number(/TimeoutStopSec=(\d+)/.exec(unit)?.[1])).toBeGreaterThan(30)
    expect(Number.parseInt(String(valuesOf('stop_grace_period', compose)[0]))).toBeGreaterThan(
      Number(valuesOf('OCTAVO_SHUTDOWN_TIMEOUT', compose)[0]),
    )
  })

  it('runs as nobody in particular', () => {
    expect(dockerfile).toMatch(/^USER 1000:1000$/m)
    expect(valuesOf('runAsNonRoot', deployment)).toEqual([true])
    expect(valuesOf('readOnlyRootFilesystem', deployment)).toEqual([true])
    expect(valuesOf('allowPrivilegeEscalation', deployment)).toEqual([false])
    expect(valuesOf('drop', deployment)).toEqual([['ALL']])
    expect(valuesOf('enableServiceLinks', deployment)).toEqual([false])
    expect(unit).toContain('DynamicUser=yes')
  })
})

describe('a server with what stands there', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-deploy-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  it('starts with the configuration of the manifests, and answers the probes', async () => {
    const keys = path.join(folder, 'keys.yaml')
    writeFileSync(keys, '- one')
    // Flags go before the file: here is another address, and other keys.
    const args = [
      '--config',
      path.join(deploy, 'kubernetes/octavo.yaml'),
      '--host',
      '127.0.0.1',
      '--api-key-file',
      keys,
    ]
    const { program, url } = await serveTiny(args)
    await using _ = program
    const paths = valuesOf('path', valuesOf('httpGet', deployment)).map(String)
    expect(new Set(paths)).toEqual(new Set(['/health', '/ready']))
    for (const one of paths) expect((await fetch(url + one)).status, one).toBe(200)
    expect((await fetch(`${url}/v1/models`)).status).toBe(401)
    const [monitored] = valuesOf('path', parse(read('kubernetes/service-monitor.yaml')) as Value)
    expect((await fetch(url + String(monitored), { headers: { authorization: 'Bearer one' } })).status).toBe(200)
  })

  it('is healthy for the image’s health check, and not when it is gone', async () => {
    const { program, url } = await serveTiny()
    const [, command = '[]'] = /HEALTHCHECK[^[]*(\[.*\])/.exec(dockerfile) ?? []
    const [, ...args] = JSON.parse(command) as string[]
    const check = (): void =>
      void execFileSync(process.execPath, args, { env: { OCTAVO_PORT: new URL(url).port }, stdio: 'ignore' })
    check()
    program.kill('SIGKILL')
    await program.exitCode
    expect(check).toThrow()
  })
})

it('every variable of docs/environment.md is known to the warning about those that are not', async () => {
  const page = readFileSync(path.join(root, 'docs/environment.md'), 'utf8')
  const variables = [...page.matchAll(/^\| `(OCTAVO_[A-Z_]+)` \|/gm)].map(([, name = '']) => name)
  expect(variables.length).toBeGreaterThan(4)
  const { program } = await serveTiny([], {
    env: Object.fromEntries(variables.filter((name) => !hasVariable(name)).map((name) => [name, ''])),
  })
  await using server = program
  expect(server.stderr).not.toContain('which is no option')
})
