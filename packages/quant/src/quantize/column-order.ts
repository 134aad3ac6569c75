/**
 * In which order GPTQ visits columns: as they stand; 'static': those with the largest moments first, in the groups that
 * they have (llm-compressor's default; also called 'weight'); 'group': likewise, and groups are made of the sorted columns,
 * so that the order is stored (GPTQ's `desc_act`); 'group-aware': sorted inside groups and groups by their largest, so that
 * groups stay whole (GAR, arXiv 2505.14638).
 */
export type ColumnOrder = (typeof columnOrders)[number]

export const columnOrders = ['none', 'static', 'group', 'group-aware'] as const

/** The column that is visited i-th; `null` for 'none'. Equals keep their order. */
export function columnOrder(order: ColumnOrder, diagonal: Float64Array, groupSize: number): Int32Array | null {
  if (order === 'none') return null
  const columns = Array.from(diagonal, (_, col) => col)
  if (order !== 'group-aware') return Int32Array.from(columns.sort((a, b) => diagonal[b]! - diagonal[a]!))
  const groupOf = (col: number): number => Math.floor(col / groupSize)
  const largest = new Float64Array(Math.ceil(diagonal.length / groupSize))
  for (const col of columns) largest[groupOf(col)] = Math.max(largest[groupOf(col)]!, diagonal[col]!)
  return Int32Array.from(
    columns.sort((a, b) => {
      const [left, right] = [groupOf(a), groupOf(b)]
      if (left === right) return diagonal[b]! - diagonal[a]!
      return largest[right]! - largest[left]! || left - right
    }),
  )
}
