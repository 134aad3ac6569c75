import type { SavedModule } from './checkpoint-format.ts'

/** Linear layers that are saved as floats. */
export function leftOut(modules: readonly SavedModule[]): string[] {
  return modules.flatMap(({ name, role, weight }) => (weight === null && role !== 'embedding' ? [name] : []))
}
