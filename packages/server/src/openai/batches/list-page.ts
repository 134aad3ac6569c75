import { HttpError } from '../../http-error.ts'

// No interface: those have no place for the fields that answers may have beside these.
type Page<Entry> = {
  readonly object: 'list'
  readonly data: Entry[]
  readonly first_id: string | null
  readonly last_id: string | null
  readonly has_more: boolean
}

/** A part of a list, behind the entry that `after` names. @throws HttpError 400 where there is none of that name */
export function listPage<Entry extends { readonly id: string }>(
  entries: readonly Entry[],
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Page<Entry> {
  const start = after === undefined ? 0 : entries.findIndex(({ id }) => id === after) + 1
  if (after !== undefined && start === 0)
    throw new HttpError(400, `after: there is no ${JSON.stringify(after.slice(0, 64))} in this list.`, {
      param: 'after',
    })
  const data = entries.slice(start, start + limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < entries.length,
  }
}
