#include "kernels/matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

#include "kernels/side_stream.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// LibTorch's switch for TF32 in cuBLAS, for one product.
class AllowTf32 {
 public:
  AllowTf32() : before_(at::globalContext().allowTF32CuBLAS()) {
    at::globalContext().setAllowTF32CuBLAS(true);
  }
  ~AllowTf32() { at::globalContext().setAllowTF32CuBLAS(before_); }
  AllowTf32(const AllowTf32&) = delete;
  AllowTf32& operator=(const AllowTf32&) = delete;

 private:
  bool before_;
};

/// LibTorch lets cuBLAS add partial sums of a long bfloat16 product in bfloat16, which nothing in
/// this program may.
void have_bf16_summed_in_float() {
#if TORCH_VERSION_MAJOR >= 2  // 1.13 has no such switch
  at::globalContext().setAllowBF16ReductionCuBLAS(false);
#endif
}

at::Tensor full_product(const at::Tensor& a, const at::Tensor& b) {
  return a.dim() == 3 ? at::bmm(a, b) : at::mm(a, b);
}

at::Tensor cut_to_tf32(const at::Tensor& x) {
  constexpr int64_t kKeptBits = -(1 << 13);  // all but the last 13 of a float's 23
  return x.contiguous().view(at::kInt).bitwise_and(kKeptBits).view(at::kFloat);
}

class Projected : public torch::autograd::Function<Projected> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t precision) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    context->save_for_backward({x, weight});
    context->saved_data["precision"] = precision;
    return matrix_product(x, weight.t(), static_cast<Precision>(precision));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const at::Tensor &x = saved[0], &weight = saved[1], &e = upstream[0];
    const AsideResults d_weight = run_aside(
        x.get_device(), [=]() -> AsideResults { return {matrix_product(e.t(), x, precision)}; });
    return {matrix_product(e, weight, precision), d_weight[0], at::Tensor()};
  }
};

}  // namespace

at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b, Precision precision) {
  switch (precision) {
    case Precision::kTf32: {
      if (a.device().is_cpu()) return full_product(cut_to_tf32(a), cut_to_tf32(b));
      const AllowTf32 allowed;
      return full_product(a, b);
    }
    case Precision::kBf16: {
      const at::Tensor left = a.to(at::kBFloat16), right = b.to(at::kBFloat16);
      if (!a.device().is_cpu()) {
        have_bf16_summed_in_float();
        return full_product(left, right).to(at::kFloat);
      }
      return full_product(left.to(at::kFloat), right.to(at::kFloat))
          .to(at::kBFloat16)
          .to(at::kFloat);
    }
    case Precision::kFull:
      break;
  }
  return full_product(a, b);
}

at::Tensor projected(const at::Tensor& x, const at::Tensor& weight, Precision precision) {
  // The host has nothing to gain from a function of our own.
  if (precision == Precision::kFull && !x.is_cuda()) return at::mm(x, weight.t());
  return Projected::apply(x, weight, static_cast<int64_t>(precision));
}

}  // namespace cdsp
