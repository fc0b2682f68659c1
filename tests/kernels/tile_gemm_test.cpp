// Small matrix products, for every instruction set that this processor has.
#include "kernels/tile_gemm.h"

#include <algorithm>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "support/available_loops.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

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

TEST_CASE("small products equal LibTorch's, plain and transposed, alone and added to something") {
  Draw draw(1);
  for (const GemmSizes& s : gemm_sizes(draw)) {
    const at::Tensor a = draw.normal({s.m, s.k}), b = draw.normal({s.k, s.n});
    const at::Tensor before = draw.normal({s.m, s.n}), other = draw.normal({s.m, s.n + 1});
    const at::Tensor product = at::mm(a, b);
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const double tolerance = dtype == at::kDouble ? 1e-12 : 2e-5;
      AT_DISPATCH_FLOATING_TYPES(dtype, "tile_gemm_test", [&] {
        // In the middle of larger tables: what stands beside a tile must stay.
        const at::Tensor right = at::full({s.k, s.n + 3}, 1e9, dtype);
        right.narrow(1, 0, s.n).copy_(b);
        const at::Tensor c = at::full({s.m, s.n + 5}, 7.0, dtype), d = other.to(dtype);
        struct Added {
          const char* what;
          const scalar_t* data;
          int64_t row;
          at::Tensor expected;
        };
        const std::vector<Added> all = {
            {"nothing", nullptr, 0, product},
            {"itself", c.data_ptr<scalar_t>(), s.n + 5, before + product},
            {"a matrix", d.data_ptr<scalar_t>(), s.n + 1, other.narrow(1, 0, s.n) + product},
            {"a row", d.data_ptr<scalar_t>(), 0, other[0].narrow(0, 0, s.n) + product}};
        for (const SimdLoops<scalar_t>* loops : available_loops<scalar_t>()) {
          for (const bool is_transposed : {false, true}) {
            for (const Added& added : all) {
              INFO(s.m << " x " << s.n << " x " << s.k << ", " << loops->name << ", "
                       << (is_transposed ? "transposed, added to " : "added to ") << added.what);
              const at::Tensor left = (is_transposed ? a.t() : a).to(dtype).contiguous();
              c.narrow(1, 0, s.n).copy_(before);
              loops->gemm({s.m, s.n, s.k, is_transposed ? 1 : s.k, is_transposed ? s.m : 1, s.n + 3,
                           s.n + 5, added.row},
                          left.data_ptr<scalar_t>(), right.data_ptr<scalar_t>(), added.data,
                          c.data_ptr<scalar_t>());
              CHECK(relative_error(c.narrow(1, 0, s.n), added.expected) < tolerance);
              CHECK(at::equal(c.narrow(1, s.n, 5), at::full({s.m, 5}, 7.0, dtype)));
            }
          }
        }
      });
    }
  }
}

TEST_CASE("factors listed by their rows give the bytes of the same rows copied together") {
  Draw draw(3);
  for (const GemmSizes& s : gemm_sizes(draw)) {
    const int64_t all = 2 * std::max(s.m, s.k) + 1;  // rows that the lists choose from, some twice
    std::vector<int64_t> index;
    for (int64_t i = 0; i < std::max(s.m, s.k); ++i) index.push_back(draw.between(0, all - 1));
    const auto first = [&](int64_t count) {
      return at::tensor(std::vector<int64_t>(index.begin(), index.begin() + count), at::kLong);
    };
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const at::Tensor left = draw.normal({all, s.k + 2}).to(dtype),  // rows are A's
          left_t = draw.normal({all, s.m + 2}).to(dtype),             // or A's columns
          own_t = draw.normal({s.k, s.m}).to(dtype), right = draw.normal({s.k, s.n}).to(dtype),
                       right_all = draw.normal({all, s.n + 2}).to(dtype);
      AT_DISPATCH_FLOATING_TYPES(dtype, "tile_gemm_test", [&] {
        const auto p = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
        for (const SimdLoops<scalar_t>* loops : available_loops<scalar_t>()) {
          for (const bool is_added : {false, true}) {
            INFO(s.m << " x " << s.n << " x " << s.k << ", " << loops->name
                     << (is_added ? ", added" : ""));
            const auto product = [&](int64_t a_row, int64_t a_column, int64_t b_row, Listed listed,
                                     const at::Tensor& a, const at::Tensor& b) {
              const at::Tensor c = at::ones({s.m, s.n}, dtype);
              loops->gemm({s.m, s.n, s.k, a_row, a_column, b_row, s.n, s.n, listed, index.data()},
                          p(a), p(b), is_added ? p(c) : nullptr, p(c));
              return c;
            };
            const at::Tensor rows = left.index_select(0, first(s.m)),
                             columns = left_t.index_select(0, first(s.k)),
                             right_rows = right_all.index_select(0, first(s.k));
            CHECK(same_bytes(product(s.k + 2, 1, s.n, Listed::kLeftRows, left, right),
                             product(s.k + 2, 1, s.n, Listed::kNothing, rows, right)));
            CHECK(same_bytes(product(1, s.m + 2, s.n, Listed::kLeftColumns, left_t, right),
                             product(1, s.m + 2, s.n, Listed::kNothing, columns, right)));
            CHECK(same_bytes(product(1, s.m, s.n + 2, Listed::kRightRows, own_t, right_all),
                             product(1, s.m, s.n + 2, Listed::kNothing, own_t, right_rows)));
          }
        }
      });
    }
  }
}

TEST_CASE("listed rows by the names that the kernels use") {
  Draw draw(4);
  constexpr int64_t kRows = 7, kWidth = 5, kColumns = 21;
  const std::vector<int64_t> index = {8, 0, 3, 3, 6, 1, 7};
  const at::Tensor table = draw.normal({9, kWidth}), b = draw.normal({kWidth, kColumns}),
                   tall = draw.normal({kRows, kColumns}), wide = draw.normal({9, kColumns}),
                   own = draw.normal({kRows, kWidth});
  const at::Tensor list = at::tensor(index, at::kLong), chosen = table.index_select(0, list);
  const auto p = [](const at::Tensor& tensor) { return tensor.data_ptr<double>(); };
  const at::Tensor plain_rows = at::empty({kRows, kColumns}, at::kDouble);
  tile_gemm<double>(kRows, kColumns, kWidth, listed<double>(p(table), kWidth, index.data()), p(b),
                    kColumns, Into::kSet, p(plain_rows), kColumns);
  CHECK(relative_error(plain_rows, at::mm(chosen, b)) < 1e-14);
  const at::Tensor turned = at::ones({kWidth, kColumns}, at::kDouble), sums = turned.clone();
  tile_gemm<double>(kWidth, kColumns, kRows,
                    listed_transposed<double>(p(table), kWidth, index.data()), p(tall), kColumns,
                    Into::kAdd, p(turned), kColumns);
  CHECK(relative_error(turned, 1.0 + at::mm(chosen.t(), tall)) < 1e-14);
  transposed_times_listed<double>(kWidth, kColumns, kRows, p(own), kWidth, p(wide), kColumns,
                                  index.data(), Into::kAdd, p(sums), kColumns);
  CHECK(relative_error(sums, 1.0 + at::mm(own.t(), wide.index_select(0, list))) < 1e-14);
}

TEST_CASE("a row of a small product has the same bytes wherever it stands") {
  Draw draw(2);
  const at::Tensor a = draw.normal({1, 33}).expand({23, 33}).to(at::kFloat).contiguous();
  const at::Tensor b = draw.normal({33, 50}).to(at::kFloat), c = at::empty({23, 50}, at::kFloat);
  tile_gemm(23, 50, 33, plain<float>(a.data_ptr<float>(), 33), b.data_ptr<float>(), 50, Into::kSet,
            c.data_ptr<float>(), 50);
  for (int64_t row = 1; row < 23; ++row) CHECK(same_bytes(c[row], c[0]));
}
