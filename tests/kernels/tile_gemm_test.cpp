// Small matrix products, for every instruction set that this processor has.
#include "kernels/tile_gemm.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

template <typename T>
std::vector<const SimdLoops<T>*> available_loops() {
  std::vector<const SimdLoops<T>*> loops = {&portable_loops(T())};
#if defined(__x86_64__)
  if (simd_loops<T>().name != portable_loops(T()).name) loops.push_back(&avx2_loops(T()));
  if (simd_loops<T>().name == avx512_loops(T()).name) loops.push_back(&avx512_loops(T()));
#endif
  return loops;
}

struct GemmSizes {
  int64_t m, n, k;
};

std::vector<GemmSizes> gemm_sizes(Draw& draw) {
  std::vector<GemmSizes> sizes = {{64, 96, 64}, {49, 64, 16}, {1, 1, 1},  {5, 3, 0},
                                  {90, 64, 49}, {7, 31, 5},   {15, 16, 9}};
  for (int i = 0; i < 40; ++i)
    sizes.push_back({draw.between(1, 40), draw.between(1, 150), draw.between(1, 70)});
  return sizes;
}

}  // namespace

TEST_CASE("small products equal LibTorch's, plain and transposed, set and added") {
  Draw draw(1);
  for (const GemmSizes& s : gemm_sizes(draw)) {
    const at::Tensor a = draw.normal({s.m, s.k}), b = draw.normal({s.k, s.n});
    const at::Tensor before = draw.normal({s.m, s.n}), product = at::mm(a, b);
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const double tolerance = dtype == at::kDouble ? 1e-12 : 2e-5;
      AT_DISPATCH_FLOATING_TYPES(dtype, "tile_gemm_test", [&] {
        for (const SimdLoops<scalar_t>* loops : available_loops<scalar_t>()) {
          for (const bool is_transposed : {false, true}) {
            for (const bool add : {false, true}) {
              INFO(s.m << " x " << s.n << " x " << s.k << ", " << loops->name << ", "
                       << (is_transposed ? "transposed, " : "") << (add ? "added" : "set"));
              // In the middle of larger tables: what stands beside a tile must stay.
              const at::Tensor left = (is_transposed ? a.t() : a).to(dtype).contiguous();
              const at::Tensor right = at::full({s.k, s.n + 3}, 1e9, dtype);
              right.narrow(1, 0, s.n).copy_(b);
              const at::Tensor c = at::full({s.m, s.n + 5}, 7.0, dtype);
              c.narrow(1, 0, s.n).copy_(before);
              loops->gemm({s.m, s.n, s.k, is_transposed ? 1 : s.k, is_transposed ? s.m : 1, s.n + 3,
                           s.n + 5, add},
                          left.data_ptr<scalar_t>(), right.data_ptr<scalar_t>(),
                          c.data_ptr<scalar_t>());
              CHECK(relative_error(c.narrow(1, 0, s.n), add ? before + product : product) <
                    tolerance);
              CHECK(at::equal(c.narrow(1, s.n, 5), at::full({s.m, 5}, 7.0, dtype)));
            }
          }
        }
      });
    }
  }
}

TEST_CASE("a row of a small product has the same bytes wherever it stands") {
  Draw draw(2);
  const at::Tensor a = draw.normal({1, 33}).expand({23, 33}).to(at::kFloat).contiguous();
  const at::Tensor b = draw.normal({33, 50}).to(at::kFloat), c = at::empty({23, 50}, at::kFloat);
  tile_gemm(23, 50, 33, plain<float>(a.data_ptr<float>(), 33), b.data_ptr<float>(), 50, Into::kSet,
            c.data_ptr<float>(), 50);
  for (int64_t row = 1; row < 23; ++row) CHECK(same_bytes(c[row], c[0]));
}
