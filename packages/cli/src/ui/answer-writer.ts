import { styleText } from 'node:util'
import type { MessageDelta } from '@octavo/core'

export interface AnswerOutput {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/** Writes an answer as it comes: thinking dimmed and apart on a terminal, and not at all elsewhere. */
export class AnswerWriter {
  readonly #output: AnswerOutput
  #reasoning = ''
  #content = ''

  constructor(output: AnswerOutput) {
    this.#output = output
  }

  get message(): { readonly content: string; readonly reasoning?: string } {
    return { content: this.#content, ...(this.#reasoning !== '' && { reasoning: this.#reasoning }) }
  }

  add({ reasoning, content }: Pick<MessageDelta, 'reasoning' | 'content'>): void {
    const isTerminal = this.#output.isTTY === true
    if (reasoning !== '' && isTerminal) this.#output.write(styleText('dim', reasoning, { validateStream: false }))
    this.#reasoning += reasoning
    if (content === '') return
    if (this.#content === '' && this.#reasoning !== '' && isTerminal) this.#output.write('\n\n')
    this.#output.write(content)
    this.#content += content
  }
}
