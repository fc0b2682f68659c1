#include <initializer_list>
#include <limits>
#include <type_traits>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/gate_tables.h"
#include "kernels/gated_experts.h"
#include "kernels/gated_experts_blocks.h"
#include "kernels/optional_input.h"

namespace cdsp {
namespace {

/// Whether all rows may be read 16 bytes at a time.
bool are_wide(const GatedExpertsInputs& in, std::initializer_list<at::Tensor> others) {
  bool are_aligned = is_on_border(in.x) && is_on_border(in.u) && is_on_border(in.v) &&
                     is_on_border(in.mask) && in.u.size(0) % gated_experts::kQuad == 0 &&
                     in.u.size(1) % gated_experts::kQuad == 0;
  for (const at::Tensor& tensor : others) are_aligned = are_aligned && is_on_border(tensor);
  return are_aligned;
}

template <typename T, typename Program>
Program program_of(const GatedExpertsInputs& in) {
  Program program{};
  program.tiles.tables = tables_of<T>(in.indices, in.weights, in.gate, in.mask);
  program.tiles.tokens = in.x.size(0);
  program.tiles.d = static_cast<int>(in.x.size(1));
  return program;
}

/// Calls body with whether rows are wide, as a type.
template <typename Body>
void with_width(bool is_wide, const Body& body) {
  if (is_wide) return body(std::true_type());
  body(std::false_type());
}

}  // namespace

bool gated_experts_fit(const GatedExpertsInputs& in, Precision precision) {
  constexpr int64_t most = std::numeric_limits<int>::max();  // places in the matrices are ints
  const int64_t d = in.u.size(0), columns = in.u.size(1), padding = 2 * gated_experts::kWidth;
  return precision == Precision::kFull && d > 0 && columns > 0 && d <= gated_experts::kWidth &&
         in.indices.size(1) <= gated_experts::kMostSlots &&
         (columns + padding * gated_experts::kWidth) * (in.mask.size(0) + padding) < most;
}

GatedExpertsOutputs gated_experts_cuda(const GatedExpertsInputs& in, const at::Tensor& residual) {
  GatedExpertsOutputs out{at::empty_like(in.x),
                          at::empty({in.x.size(0), in.u.size(1)}, in.x.options())};
  AT_DISPATCH_FLOATING_TYPES(in.x.scalar_type(), "gated_experts", [&] {
    with_width(are_wide(in, {residual, out.y, out.z}), [&](auto is_wide) {
      auto program = program_of<scalar_t, GatedExperts<scalar_t, decltype(is_wide)::value>>(in);
      program.tiles.left = in.x.data_ptr<scalar_t>();
      program.tiles.first_matrix = in.u.data_ptr<scalar_t>();
      program.tiles.second_matrix = in.v.data_ptr<scalar_t>();
      program.tiles.residual = pointer_or_null<scalar_t>(residual);
      program.tiles.out = out.y.data_ptr<scalar_t>();
      program.z = out.z.data_ptr<scalar_t>();
      run_grid(program, in.x.get_device());
    });
  });
  return out;
}

GatedExpertsGradients gated_experts_backward_cuda(const GatedExpertsInputs& in, const at::Tensor& z,
                                                  const at::Tensor& upstream) {
  GatedExpertsGradients out{
      at::empty_like(in.x), at::empty_like(in.weights), {}, at::empty_like(z)};
  AT_DISPATCH_FLOATING_TYPES(in.x.scalar_type(), "gated_experts_backward", [&] {
    with_width(are_wide(in, {upstream, z, out.x, out.hidden}), [&](auto is_wide) {
      using Program = GatedExpertsBackward<scalar_t, decltype(is_wide)::value>;
      auto program = program_of<scalar_t, Program>(in);
      program.tiles.between = Program::phases_between(program.tiles.tables.k);
      program.tiles.left = upstream.data_ptr<scalar_t>();
      program.tiles.first_matrix = in.v.data_ptr<scalar_t>();
      program.tiles.second_matrix = in.u.data_ptr<scalar_t>();
      program.tiles.out = out.x.data_ptr<scalar_t>();
      program.z = z.data_ptr<scalar_t>();
      program.d_hidden = out.hidden.data_ptr<scalar_t>();
      program.d_weights = out.weights.data_ptr<scalar_t>();
      out.gate_parts = at::empty({program.blocks(), program.tiles.tables.experts}, in.x.options());
      program.gate_parts = out.gate_parts.data_ptr<scalar_t>();
      run_grid(program, in.x.get_device());
    });
  });
  return out;
}

}  // namespace cdsp
