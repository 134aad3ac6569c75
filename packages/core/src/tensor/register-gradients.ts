import { registerHooks } from 'node:module'
import { getGradient } from '@tensorflow/tfjs-core'

/**
 * Registers the gradients of tfjs's standard ops, which `@tensorflow/tfjs-core` by itself does not do under Node: its
 * gradient files are ES modules that import each other without file extensions. For training; inference needs none.
 * Needs Node 22.15 or newer. Does nothing where gradients exist already (as with `@tensorflow/tfjs`).
 */
export async function registerGradients(): Promise<void> {
  if (getGradient('BatchMatMul') !== undefined) return
  const hooks = registerHooks({
    resolve(specifier, context, nextResolve) {
      const isInside = context.parentURL?.includes('/@tensorflow/tfjs-core/dist/') === true
      const isBare = specifier.startsWith('.') && !specifier.endsWith('.js')
      return nextResolve(isInside && isBare ? `${specifier}.js` : specifier, context)
    },
  })
  try {
    await import('@tensorflow/tfjs-core/dist/register_all_gradients.js')
  } finally {
    hooks.deregister()
  }
}
