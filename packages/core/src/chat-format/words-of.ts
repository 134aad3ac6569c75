/** A tag, a bracketed word in capitals, one bracket or sign, or what else stands together. */
const word = /<[^<>\s]*>|\[\/?[A-Z][A-Z_]*\]|[[\]{}(),;]|<?[^\s<[\]{}(),;]+|</gu

/** A markup text in words: models put other white space between them than templates do. */
export function wordsOf(text: string): readonly string[] {
  return text.match(word) ?? []
}
