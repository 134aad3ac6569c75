import { existsSync, lstatSync, readdirSync, realpathSync } from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { QuantizationError } from '@octavo/core/quantization'
import { onDisk } from '../checkpoint/disk-errors.ts'

/**
 * What `overwrite` may replace is a checkpoint or an empty folder, and never what the run reads from.
 *
 * @throws QuantizationError saying what stands where the target would be
 */
export function checkTarget(target: string, options: { model: string; overwrite: boolean }): void {
  onDisk(target, () => check(target, options))
}

function check(target: string, { model, overwrite }: { model: string; overwrite: boolean }): void {
  const path = resolve(target)
  if (dirname(path) === path)
    throw new QuantizationError(`${path} can't be the target; name a folder that is to be made`)
  const [real, source] = [realTarget(path), realpathSync(model)]
  if (source === real || source.startsWith(real + sep))
    throw new QuantizationError(
      `${target} ${source === real ? 'is' : 'holds'} the model that is read (${model}), which would be gone; choose another folder`,
    )
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (!overwrite || stat === undefined) return
  const isFolder = existsSync(path) && lstatSync(real).isDirectory()
  if (isFolder && (existsSync(join(path, 'config.json')) || readdirSync(path).length === 0)) return
  throw new QuantizationError(
    `${target} is ${isFolder ? 'a folder without a config.json, so no checkpoint' : 'no folder'}, and is not replaced; choose another folder, or remove it first`,
  )
}

/** Links resolved, of what need not be there. */
function realTarget(path: string): string {
  if (existsSync(path)) return realpathSync(path)
  const parent = dirname(path)
  return parent === path ? path : join(realTarget(parent), basename(path))
}
