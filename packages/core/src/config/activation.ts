export type ModelActivation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu'

/** By the name that transformers has for it. `unsupported` throws an `UnsupportedModelError`. */
export function parseActivation(name: string, unsupported: (message: string) => never): ModelActivation {
  switch (name) {
    case 'silu':
    case 'swish':
    // As the code of Nomic's checkpoints calls what its MLP is gated by.
    case 'swiglu':
      return 'silu'
    case 'gelu':
      return 'gelu'
    case 'gelu_new':
    case 'gelu_fast':
    case 'gelu_pytorch_tanh':
      return 'gelu_tanh'
    case 'relu':
      return 'relu'
    default:
      return unsupported(
        `the activation "${name}" is not supported; known are silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh and relu.`,
      )
  }
}
