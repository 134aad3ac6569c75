import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Checkpoint } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { onDisk } from '../checkpoint/disk-errors.ts'

/** What a GGUF file says of tokens, templates and generation, as Hugging Face's files. */
export function writeTokenizerFiles(checkpoint: Checkpoint, folder: string): void {
  const { tokenizerJson, tokenizerConfig, chatTemplate, namedTemplates } = checkpoint.readTokenizer()
  const write = (name: string, text: string): void => onDisk(folder, () => writeFileSync(join(folder, name), text))
  const writeJson = (name: string, value: object): void => write(name, `${JSON.stringify(value, null, 2)}\n`)
  writeJson('tokenizer.json', tokenizerJson)
  writeJson('tokenizer_config.json', tokenizerConfig)
  if (chatTemplate !== null) write('chat_template.jinja', chatTemplate)
  if (namedTemplates.size > 0) onDisk(folder, () => mkdirSync(join(folder, 'additional_chat_templates')))
  for (const [name, template] of namedTemplates) {
    if (!/^[\w-]{1,100}$/.test(name))
      throw new QuantizationError(`${checkpoint.path}: the chat template ${JSON.stringify(name)} can't be a file`)
    write(join('additional_chat_templates', `${name}.jinja`), template)
  }
  if (checkpoint.generationConfig !== null) writeJson('generation_config.json', checkpoint.generationConfig)
}
