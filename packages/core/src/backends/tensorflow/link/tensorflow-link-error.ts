import { BackendUnavailableError } from '../../../errors.ts'

/** Where linking can fail. */
export type LinkStep =
  | 'platform'
  | 'tfjs-node'
  | 'python'
  | 'tensorflow'
  | 'version'
  | 'headers'
  | 'cuda'
  | 'compiler'
  | 'compile'
  | 'verify'

/** TensorFlow cannot be linked; the message ends with what to do. */
export class TensorflowLinkError extends BackendUnavailableError {
  readonly step: LinkStep

  constructor(step: LinkStep, message: string, options?: ErrorOptions) {
    super(message, options)
    this.step = step
  }
}
