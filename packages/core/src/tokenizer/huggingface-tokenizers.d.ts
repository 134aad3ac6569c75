// The package's own declarations import each other without file extensions, which NodeNext resolution does not follow:
// to the compiler the package exports nothing. This declares the part that is used.
declare module '@huggingface/tokenizers' {
  export class Tokenizer {
    constructor(tokenizerJson: object, tokenizerConfig: object)
    encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] }
  }
  export class SplitPreTokenizer {
    readonly pattern: RegExp | null
    constructor(config: { type: 'Split'; pattern: { Regex: string }; behavior: 'Isolated'; invert: boolean })
  }
}
