/** Work on each of a caller's inputs, all at once. One that fails ends the call: the others' work is given back. */
export async function runAll<Input, Output>(
  inputs: readonly Input[],
  run: (input: Input, index: number, signal: AbortSignal) => Promise<Output>,
  signal?: AbortSignal,
): Promise<Output[]> {
  const ended = new AbortController()
  const either = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal])
  try {
    return await Promise.all(inputs.map((input, index) => run(input, index, either)))
  } catch (error) {
    ended.abort(error)
    throw error
  }
}
