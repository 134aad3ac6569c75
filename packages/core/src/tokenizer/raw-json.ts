/**
 * A value on its way into a chat template, as the JSON text it came as: numbers and the order of keys stay as they were
 * written, which JavaScript's own values do not keep (1.0, integers beyond 2^53, keys that look like indexes).
 */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toJSON(): unknown {
    return JSON.parse(this.text)
  }
}
