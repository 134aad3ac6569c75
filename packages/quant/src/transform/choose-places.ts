import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import type { DecoderLayer } from '../decoder-layer.ts'
import { createModuleSelector } from '../module-selector.ts'
import { smoothPlaces } from './smooth-place.ts'
import type { MissingPlace, SmoothPlace } from './smooth-place.ts'

/** Which channels are scaled; llm-compressor's terms: names in full, or `re:` and a pattern. */
export interface SmoothMapping {
  /** The norm or linear layer that makes the channels. */
  readonly smoothLayer: string
  /** All linear layers that read them. */
  readonly balanceLayers: readonly string[]
}

export interface ChosenPlaces {
  readonly places: readonly SmoothPlace[]
  /** Of `smoothPlaces`; they are among the missing too. */
  readonly shared: readonly SmoothPlace[]
  readonly missing: readonly MissingPlace[]
}

/** Finds a layer's places: `null` mappings are all that are the rule for its design. */
export type ChoosePlaces = (layer: DecoderLayer) => ChosenPlaces

/** @throws InvalidConfigError for patterns that are none, and mappings without names */
export function createPlaceChooser(mappings: readonly SmoothMapping[] | null): ChoosePlaces {
  if (mappings === null) {
    return (layer) => {
      const { places, shared, missing } = smoothPlaces(layer)
      return { places: places.filter(({ isDefault }) => isDefault), shared, missing }
    }
  }
  const choosers = mappings.map(createMappingChooser)
  return (layer) => {
    const found = smoothPlaces(layer)
    const chosen = choosers.map((choose) => choose(layer, found))
    return {
      places: chosen.flatMap(({ places }) => places),
      shared: chosen.flatMap(({ shared }) => shared),
      missing: chosen.flatMap(({ missing }) => missing),
    }
  }
}

function createMappingChooser(
  { smoothLayer, balanceLayers }: SmoothMapping,
  index: number,
): (layer: DecoderLayer, found: ChosenPlaces) => ChosenPlaces {
  if (balanceLayers.length === 0)
    throw new InvalidConfigError(
      `mappings[${index}].balanceLayers`,
      'must name the linear layers that read the channels',
    )
  const matches = (targets: readonly string[]): ((name: string) => boolean) => {
    const selects = createModuleSelector({ targets })
    return (name) => selects({ name, role: 'linear' })
  }
  const isSmooth = matches([smoothLayer])
  const isBalance = matches(balanceLayers)
  const isNamed = ({ smooth, balance }: SmoothPlace): boolean =>
    isSmooth(smooth.name) && balance.some(({ name }) => isBalance(name))
  return (layer, { places, shared, missing }) => {
    const chosen = places.filter(isNamed)
    for (const { smooth, balance } of chosen) {
      const others = balance.filter(({ name }) => !isBalance(name)).map(({ name }) => name)
      if (others.length > 0)
        throw new QuantizationError(
          `${others.slice(0, 4).join(', ')} read what ${smooth.name} makes, and mapping ${index} leaves them out, so that the model would compute something else; add them to its balance layers`,
          { layer: layer.name },
        )
    }
    const absent = missing.filter(({ smooth, balance }) => isSmooth(smooth) && balance.some(isBalance))
    if (chosen.length + absent.length === 0)
      throw new QuantizationError(
        `mapping ${index} (${smoothLayer} to ${balanceLayers.join(', ')}) names no channels that can be scaled; the layer has ${describe(places)}`,
        { layer: layer.name },
      )
    return { places: chosen, shared: shared.filter(isNamed), missing: absent }
  }
}

function describe(places: readonly SmoothPlace[]): string {
  const shown = places.slice(0, 6).map(({ smooth, balance }) => {
    const names = balance.slice(0, 4).map(({ name }) => name)
    return `${smooth.name} to ${names.join(', ')}${balance.length > 4 ? ', …' : ''}`
  })
  return places.length > 6 ? `${shown.join('; ')}; …` : shown.join('; ')
}
