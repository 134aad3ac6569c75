import type { Tag, TagFormat } from '../structured-output/structural-tag.ts'

/** No text at all. */
export const nothing: TagFormat = { type: 'grammar', grammar: 'root ::= ""\n' }

/** Texts and formats one behind the other; neighbouring texts become one, and empty ones none. */
export function joinFormats(parts: readonly (string | TagFormat)[]): TagFormat {
  const elements = merge(parts).map((part): TagFormat =>
    typeof part === 'string' ? { type: 'const_string', value: part } : part,
  )
  return elements.length === 1 ? elements[0]! : { type: 'sequence', elements }
}

/** The same as a tag: texts at the ends are the tag's own. */
export function tagOf(parts: readonly (string | TagFormat)[]): Tag {
  const merged = merge(parts)
  const begin = typeof merged[0] === 'string' ? merged.shift() : ''
  const end = typeof merged.at(-1) === 'string' ? merged.pop() : ''
  return { type: 'tag', begin: begin as string, content: joinFormats(merged), end: end as string }
}

function merge(parts: readonly (string | TagFormat)[]): (string | TagFormat)[] {
  const merged: (string | TagFormat)[] = []
  for (const part of parts) {
    const last = merged.at(-1)
    if (part === '') continue
    if (typeof part === 'string' && typeof last === 'string') merged[merged.length - 1] = last + part
    else merged.push(part)
  }
  return merged
}
