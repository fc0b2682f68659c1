// Work beside the chain: on the host it is done at once, on a GPU it is there after the join.
#include "kernels/side_stream.h"

#include <stdexcept>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/gpu.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

double number_of(const at::Tensor& tensor) { return tensor.to(at::kCPU).item<double>(); }

at::Tensor on_gpu(double value) {
  return at::full({}, value, at::TensorOptions().dtype(at::kDouble).device(at::kCUDA));
}

}  // namespace

TEST_CASE("on the host, work beside the chain is done when it is asked for") {
  SideStream side(-1);
  std::vector<int> order;
  const auto work = [&order](int number) {
    return [&order, number]() -> AsideResults {
      order.push_back(number);
      return {at::full({}, number, at::kDouble)};
    };
  };
  CHECK(number_of(run_aside(-1, work(1))[0]) == 1);
  CHECK(number_of(run_early(-1, work(2))[0]) == 2);
  CHECK(number_of(run_aside_at_once(-1, work(3))[0]) == 3);
  join_early(-1);
  side.join();
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE(
    "on a GPU work beside the chain sees what the chain had done, and is there after the join") {
  if (!has_gpu_and_kernels()) return;
  const at::Tensor before = on_gpu(3);
  SideStream side(0);
  const AsideResults early = run_early(0, [before]() -> AsideResults { return {before + 1}; });
  at::Tensor x = on_gpu(5);
  x.mul_(2);
  const AsideResults doubled = run_aside(0, [x]() -> AsideResults { return {x * 2}; });
  const AsideResults again =
      run_aside_at_once(0, [of_side = doubled[0]]() -> AsideResults { return {of_side + 1}; });
  join_early(0);
  CHECK(number_of(early[0]) == 4);
  side.join();
  CHECK(number_of(doubled[0]) == 20);
  CHECK(number_of(again[0]) == 21);
}

TEST_CASE("on a GPU a SideStream opened inside another one is the same") {
  if (!has_gpu_and_kernels()) return;
  SideStream outer(0);
  AsideResults results;
  {
    SideStream inner(0);
    results = run_aside(0, [] { return AsideResults{on_gpu(7)}; });
  }
  outer.join();
  CHECK(number_of(results[0]) == 7);
}

TEST_CASE("on a GPU work beside the chain that fails tells why, and what follows is done as ever") {
  if (!has_gpu_and_kernels()) return;
  {
    SideStream side(0);
    CHECK_THROWS_AS(run_aside(0,
                              []() -> AsideResults {
                                const at::Tensor enqueued = on_gpu(1) + 1;
                                throw std::runtime_error("no");
                              }),
                    std::runtime_error);
  }
  SideStream side(0);
  const AsideResults results = run_aside(0, [] { return AsideResults{on_gpu(2)}; });
  side.join();
  CHECK(number_of(results[0]) == 2);
}
