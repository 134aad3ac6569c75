/** What a scrape says, by name and labels as they stand there. */
export class ReadMetrics {
  readonly types = new Map<string, string>()
  readonly #values = new Map<string, number>()

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line)
      if (type !== null) this.types.set(type[1]!, type[2]!)
      const sample = /^([^#\s{]+)(\{.*\})? (\S+)$/.exec(line)
      if (sample !== null) this.#values.set(`${sample[1]}${sorted(sample[2] ?? '')}`, toNumber(sample[3]!))
    }
  }

  /** Names with labels. */
  get series(): string[] {
    return [...this.#values.keys()]
  }

  /** Of all series of a name that have these labels. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    let total = 0
    for (const [series, value] of this.#values) {
      if (series.split('{', 1)[0] !== name) continue
      if (wanted.every((pair) => series.includes(pair))) total += value
    }
    return total
  }
}

function sorted(labels: string): string {
  if (labels === '') return ''
  const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([pair]) => pair)
  return `{${pairs.sort().join(',')}}`
}

function toNumber(text: string): number {
  return text === '+Inf' ? Infinity : Number(text)
}
