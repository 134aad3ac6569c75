/** What a clone without Git LFS has in place of a large file (github.com/git-lfs/git-lfs, docs/spec.md). */
export const lfsPointerStart = 'version https://git-lfs.github.com/spec/'

/** By the specification. */
export const maxLfsPointerBytes = 1024

export const lfsPointerReason =
  'is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or let Octavo download the model by its name'

export function isLfsPointer(text: string): boolean {
  return text.startsWith(lfsPointerStart)
}
