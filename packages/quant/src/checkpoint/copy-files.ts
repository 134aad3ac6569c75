import { copyFileSync, cpSync, readdirSync, statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError } from '@octavo/core/backend'
import { onDisk } from './disk-errors.ts'

/** What stands beside the weights and is as true of the quantized model: tokenizer, templates, generation, licence. */
const copied =
  /^(tokenizer.*|vocab.*|merges\.txt|added_tokens\.json|special_tokens_map\.json|chat_template\.(jinja|json)|additional_chat_templates|generation_config\.json|(pre|video_pre)?processor_config\.json|.*\.tiktoken|tekken\.json|(LICEN[CS]E|NOTICE|USE_POLICY).*)$/

export function copyOtherFiles(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (!copied.test(name) || /\.(safetensors|bin|pth?|gguf)$/.test(name)) continue
    const source = join(from, name)
    const stat = statOf(source)
    onDisk(to, () => {
      // Of a hub's cache these are links; the copy is a file.
      if (stat.isDirectory()) cpSync(source, join(to, name), { recursive: true, dereference: true })
      else copyFileSync(source, join(to, name))
    })
  }
}

function statOf(path: string): Stats {
  try {
    return statSync(path)
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new CheckpointError(path, `can't be read (${reason}): where it is a link, mend or remove it`, {
      cause: error,
    })
  }
}
