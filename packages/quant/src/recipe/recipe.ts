import type { LayerPass } from '../decoder-layer.ts'

/** What a recipe comes to: passes in their order, and what beside the decoder layers they are for. */
export interface Recipe {
  readonly passes: readonly LayerPass[]
  readonly parts: { readonly embedding?: boolean; readonly head?: boolean }
}
