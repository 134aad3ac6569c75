import { existsSync } from 'node:fs'
import path from 'node:path'
import {
  defaultLinkFolder,
  findLinkedBinding,
  linkTensorflow,
  plainText,
  unlinkTensorflow,
} from '@octavo/core/tensorflow'
import { type Command, Option } from 'commander'
import { formatDevices } from '../ui/format-tensorflow.ts'

interface LinkFlags {
  readonly python?: string
  readonly lib?: string
  readonly into?: string
}

export function addTensorflowCommand(program: Command): void {
  const tensorflow = program
    .command('tensorflow')
    .description('link Octavo to a TensorFlow of this machine, for its backend tensorflow')
  tensorflow
    .command('link')
    .description('build the binding of tfjs-node against a TensorFlow from pip or an unpacked libtensorflow')
    .addOption(
      new Option('--python <path>', 'the Python, or virtual environment, that has TensorFlow').conflicts('lib'),
    )
    .option('--lib <folder>', 'an unpacked libtensorflow, with lib/ and include/')
    .option('--into <folder>', 'where the binding goes; OCTAVO_TENSORFLOW must name it then')
    .action(link)
  tensorflow
    .command('status')
    .description('show which binding would be used; exits with 1 where there is none')
    .action(() => {
      const linked = findLinkedBinding()
      const isThere = linked !== null && existsSync(linked.file)
      process.stdout.write(
        isThere ? `${JSON.stringify(linked, null, 2)}\n` : `none is linked; ${defaultLinkFolder()} would hold it\n`,
      )
      process.exitCode = isThere ? 0 : 1
    })
  tensorflow
    .command('unlink')
    .description('remove the binding that link built')
    .option('--into <folder>', 'from where')
    .action(({ into }: LinkFlags) => {
      const folder = into ?? defaultLinkFolder()
      unlinkTensorflow(folder)
      process.stdout.write(`no binding is in ${folder} any more\n`)
    })
}

async function link({ python, lib, into }: LinkFlags): Promise<void> {
  const folder = path.resolve(into ?? defaultLinkFolder())
  const write = (line: string): unknown => process.stdout.write(`${plainText(line)}\n`)
  const { manifest, verified, notes } = await linkTensorflow({
    python: python ?? null,
    lib: lib ?? null,
    folder,
    onProgress: write,
  })
  write(`linked: TensorFlow ${manifest.version} on ${formatDevices(verified.devices)}, in ${folder}`)
  for (const note of notes) write(`note: ${note}`)
  if (into !== undefined) write(`set OCTAVO_TENSORFLOW=${folder} to use it`)
}
