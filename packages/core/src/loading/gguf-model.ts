/** Which GGUF files of a repository are one model. */

/** One model of a repository: a file, or all parts that `llama-gguf-split` cut it into. */
export interface GgufModel {
  readonly parts: readonly [string, ...string[]]
}

const partOfSplit = /-(\d{5})-of-(\d{5})\.gguf$/
const maxParts = 1000

/** By path, by file name (of any part), or by the quantization label between separators ("q4_k_m" in "model-Q4_K_M.gguf"). */
export function matchGguf(paths: readonly string[], wanted: string): GgufModel[] {
  const exact = paths.filter((path) => path === wanted || path.endsWith(`/${wanted}`))
  const label = wanted.toLowerCase()
  return groupGguf(exact.length > 0 ? exact : paths.filter((path) => hasLabel(path, label)))
}

/** The models that these files are, or are parts of. */
export function groupGguf(paths: readonly string[]): GgufModel[] {
  return [...new Map(paths.map(modelOf).map((model) => [model.parts[0], model])).values()]
}

function hasLabel(path: string, label: string): boolean {
  const stem = path
    .slice(path.lastIndexOf('/') + 1)
    .toLowerCase()
    .replace(partOfSplit, '')
    .replace(/\.gguf$/, '')
  return stem === label || stem.endsWith(`-${label}`) || stem.endsWith(`.${label}`)
}

function modelOf(path: string): GgufModel {
  const total = Number(partOfSplit.exec(path)?.[2] ?? 1)
  if (total < 2 || total > maxParts) return { parts: [path] }
  const part = (index: number): string => {
    const number = String(index).padStart(5, '0')
    return path.replace(partOfSplit, `-${number}-of-${String(total).padStart(5, '0')}.gguf`)
  }
  return { parts: [part(1), ...Array.from({ length: total - 1 }, (_, i) => part(i + 2))] }
}
