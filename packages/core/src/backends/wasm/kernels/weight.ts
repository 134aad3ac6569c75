/** A weight in the heap; `describeWeight` in wasm-packed-weight.ts writes these words in this order. */
@unmanaged
export class Weight {
  /** One of formats.generated.ts. */
  format: i32
  cols: i32
  /** Row 0, and bytes from row to row; of a grouped weight: of its codes. */
  rows: usize
  stride: usize
  // The rest is of grouped weights alone.
  bits: i32
  /** Neighbouring columns that share a scale, whole blocks of 32, of integers of 4 or 8 bits; 0: codes are looked up one by one. */
  groupCols: i32
  numGroups: i32
  /** What each code stands for, float32. */
  values: usize
  /** The group of each column, int32. */
  groupOf: usize
  /** [rows, numGroups] */
  scaleFormat: i32
  scales: usize
  scaleStride: usize
  /** [rows, numGroups] uint8, or 0 */
  zeros: usize
  /** Room for a row's scales as float32. */
  scratch: usize
}
