// Four-lane building blocks. A row whose length is not a multiple of four ends in a partial vector whose missing
// lanes are zero, so that body and tail go through the same arithmetic.

/** The first `count` (1..3) floats at `pointer`, the other lanes zero; reads nothing beyond them. */
@inline
export function loadPartial(pointer: usize, count: i32): v128 {
  let lanes = v128.load32_zero(pointer)
  if (count > 1) lanes = f32x4.replace_lane(lanes, 1, load<f32>(pointer, 4))
  if (count > 2) lanes = f32x4.replace_lane(lanes, 2, load<f32>(pointer, 8))
  return lanes
}

/** Stores the first `count` (1..3) lanes. */
@inline
export function storePartial(pointer: usize, lanes: v128, count: i32): void {
  store<f32>(pointer, f32x4.extract_lane(lanes, 0))
  if (count > 1) store<f32>(pointer, f32x4.extract_lane(lanes, 1), 4)
  if (count > 2) store<f32>(pointer, f32x4.extract_lane(lanes, 2), 8)
}

/** (lane0 + lane2) + (lane1 + lane3): the one horizontal order of this module. */
@inline
export function sumLanes(lanes: v128): f32 {
  const halves = f32x4.add(lanes, v128.shuffle<f32>(lanes, lanes, 2, 3, 0, 1))
  return f32x4.extract_lane(halves, 0) + f32x4.extract_lane(halves, 1)
}

/** `sumLanes` of four vectors at once, bit for bit. */
@inline
export function sumLanes4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7))
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7))
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7))
}

@inline
export function maxLanes(lanes: v128): f32 {
  const halves = f32x4.max(lanes, v128.shuffle<f32>(lanes, lanes, 2, 3, 0, 1))
  return max<f32>(f32x4.extract_lane(halves, 0), f32x4.extract_lane(halves, 1))
}
