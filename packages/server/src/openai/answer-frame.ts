/** What is the same in every part of one answer. */
export interface AnswerFrame {
  /** chatcmpl-… or cmpl-… */
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
}
