/** Without control characters, which could steer the reader's terminal. */
export function plainText(text: string): string {
  return text.replaceAll(/\p{Cc}|\p{Cf}/gu, ' ')
}
