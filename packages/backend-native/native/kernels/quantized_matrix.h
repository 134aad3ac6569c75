// Products with weights in the panels of linear_quant.h, however they came there.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../matrix.h"
#include "kernel_table.h"

namespace octavo {

class QuantizedMatrix : public Matrix {
 public:
  void LinearParts(const LinearPart* parts, int64_t num_parts, const LinearInput& input,
                   ThreadPool& pool) const override;
  void GatedLinear(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const override;
  int64_t PanelRows() const override { return kPanelRows; }
  void ReadRow(int64_t row, float* out) const override;
  size_t Bytes() const override { return bytes_ + (columns_.size() + fillers_.size()) * sizeof(uint32_t); }

  /// After packing: what wide activations need.
  void FindUnits(ThreadPool& pool);

 protected:
  QuantizedMatrix(int64_t rows, int64_t cols, Activations activations);

  /// Memory for panels of `cols` columns as packed, uninitialised.
  void Allocate(PanelKind kind, int64_t cols, int64_t scale_bytes);
  uint8_t* Panel(int64_t panel) { return data_.get() + panel * panels_.panel_bytes; }
  /// Zeros behind the `used` bytes of a panel.
  void PadPanel(int64_t panel, int64_t used);

  QuantPanels panels_{};
  /// The column that lies where, any for a filler; none where all lie in order.
  std::vector<uint32_t> columns_;
  std::vector<uint32_t> fillers_;  // where they are, ascending

 private:
  struct FreeDeleter {
    void operator()(void* memory) const { std::free(memory); }
  };

  void GatedStream(float* y, GatedKind kind, const LinearInput& input, ThreadPool& pool) const;
  template <typename Output>
  void Multiply(const Output& output, const LinearInput& input, ThreadPool& pool) const;
  template <typename Output>
  void MultiplyFloat(const Output& output, const LinearInput& input, ThreadPool& pool) const;
  template <typename Output>
  void MultiplyInt8(const Output& output, const LinearInput& input, ThreadPool& pool) const;
  template <typename Output>
  void MultiplyWide(const Output& output, const LinearInput& input, ThreadPool& pool) const;
  /// A token's columns as packed: out [panels_.cols].
  void Order(const float* row, float* out) const;
  /// Calls quantize(x, begin, end) with rows of tokens [begin, end) at x, their columns as packed.
  template <typename Quantize>
  void QuantizeTokens(const LinearInput& input, ThreadPool& pool, const Quantize& quantize) const;
  /// Calls run(begin, end, thread).
  template <typename Run>
  void ForTokens(int64_t n, ThreadPool& pool, const Run& run) const;
  template <typename Output, typename Run>
  void RunStreams(const Output& output, ThreadPool& pool, const Run& run) const;
  template <typename Output, typename Run>
  void RunTasks(const Output& output, int64_t n, ThreadPool& pool, const Run& run) const;

  const Activations activations_;
  const QuantKernels& kernels_;
  const WideKernels& wide_kernels_;
  std::vector<float> units_;  // of the rows, then their inverses
  size_t bytes_ = 0;
  std::unique_ptr<uint8_t[], FreeDeleter> data_;
};

}  // namespace octavo
