import type { TfeOpAttr } from './libtensorflow/tfjs-binding.ts'

/** TF_DataType of `tf_datatype.h`: numbers that every libtensorflow shares. */
export const tfDtype = {
  float32: 1,
  int32: 3,
  uint8: 4,
  int8: 6,
  bool: 10,
  bfloat16: 14,
  float16: 19,
  resource: 20,
} as const

/** Whether the engine sees it as `float32` while the device holds 16 bits: tfjs knows no such dtype. */
export function is16Bit(dtype: number): boolean {
  return dtype === tfDtype.bfloat16 || dtype === tfDtype.float16
}

// TF_AttrType of `tf_attrtype.h`. Attributes that TensorFlow infers from the inputs are left out: each costs about 4 µs.

export function stringAttr(name: string, value: string): TfeOpAttr {
  return { name, type: 0, value }
}

export function intAttr(name: string, value: number): TfeOpAttr {
  return { name, type: 1, value }
}

export function boolAttr(name: string, value: boolean): TfeOpAttr {
  return { name, type: 3, value }
}

export function typeAttr(name: string, value: number): TfeOpAttr {
  return { name, type: 4, value }
}

export function shapeAttr(name: string, value: readonly number[]): TfeOpAttr {
  return { name, type: 5, value }
}

export const noAttrs: readonly TfeOpAttr[] = []
