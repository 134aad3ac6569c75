import type { LayerPass } from '../decoder-layer.ts'
import type { SelectsModule } from '../module-selector.ts'

/** What a recipe comes to: passes in their order. */
export interface Recipe {
  readonly passes: readonly LayerPass[]
  /** Whether some of them quantize this module: embedding and head are worked on where they are among them. */
  readonly selects: SelectsModule
}
