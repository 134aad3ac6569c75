import { copyFileSync, cpSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { onDisk } from './disk-errors.ts'

/** What stands beside the weights and is as true of the quantized model: tokenizer, templates, generation, licence. */
const copied =
  /^(tokenizer.*|vocab.*|merges\.txt|added_tokens\.json|special_tokens_map\.json|chat_template\.(jinja|json)|additional_chat_templates|generation_config\.json|(pre|video_pre)?processor_config\.json|.*\.tiktoken|tekken\.json|(LICEN[CS]E|NOTICE|USE_POLICY).*)$/

export function copyOtherFiles(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (!copied.test(name) || /\.(safetensors|bin|pth?|gguf)$/.test(name)) continue
    const source = join(from, name)
    onDisk(to, () => {
      // Of a hub's cache these are links; the copy is a file.
      if (statSync(source).isDirectory()) cpSync(source, join(to, name), { recursive: true, dereference: true })
      else copyFileSync(source, join(to, name))
    })
  }
}
