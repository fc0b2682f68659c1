#include "data/sampler.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "base/error.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace {

using cdsp::Sampler;
using cdsp::test::TemporaryFolder;

/// Tasks of the given sizes; a sampler looks at nothing but the offsets and the number of labels.
cdsp::Split split_of(const std::vector<int64_t>& sizes) {
  cdsp::Split split;
  split.task_offsets = {0};
  for (const int64_t size : sizes) split.task_offsets.push_back(split.task_offsets.back() + size);
  split.labels.resize(static_cast<size_t>(split.task_offsets.back()));
  return split;
}

cdsp::Config config_with(cdsp::Sampling sampling, uint64_t seed = 3) {
  cdsp::Config config;
  config.seed = seed;
  config.data.sampling = sampling;
  return config;
}

Sampler sampler_of_file(const TemporaryFolder& folder, const std::string& content,
                        int64_t samples = 100) {
  cdsp::Config config;
  config.data.order_file = folder.write("order.txt", content);
  return Sampler(config, split_of({samples}));
}

std::string complaint_on(const std::string& content, int64_t samples = 100) {
  const TemporaryFolder folder;
  const std::string message =
      cdsp::test::message_of<cdsp::InputError>([&] { sampler_of_file(folder, content, samples); });
  return message.empty() ? "" : message.substr(folder.path().string().size() + 1);
}

}  // namespace

TEST_CASE("A concat epoch is every sample once, shuffled", "[data][sampler]") {
  const Sampler sampler(config_with(cdsp::Sampling::kConcat), split_of({500, 300, 200}));
  REQUIRE(sampler.epoch_size() == 1000);
  std::vector<int64_t> order = sampler.epoch_order(0);
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  CHECK(order == all);
}

TEST_CASE("The order depends on seed and epoch and on nothing else", "[data][sampler]") {
  for (const auto sampling : {cdsp::Sampling::kConcat, cdsp::Sampling::kBalanced}) {
    const cdsp::Split split = split_of({50, 30});
    const Sampler sampler(config_with(sampling), split);
    const std::vector<int64_t> third = sampler.epoch_order(2);
    CHECK(sampler.epoch_order(1) != third);
    CHECK(sampler.epoch_order(2) == third);
    CHECK(Sampler(config_with(sampling), split).epoch_order(2) == third);
    CHECK(Sampler(config_with(sampling, 4), split).epoch_order(2) != third);
  }
}

TEST_CASE("A balanced epoch shows every task as often as the largest one has samples",
          "[data][sampler]") {
  const Sampler sampler(config_with(cdsp::Sampling::kBalanced), split_of({100, 30, 7}));
  REQUIRE(sampler.epoch_size() == 300);
  const std::vector<int64_t> order = sampler.epoch_order(0);
  REQUIRE(order.size() == 300);

  std::vector<std::vector<int64_t>> by_task(3);
  for (const int64_t sample : order)
    by_task[sample < 100 ? 0 : sample < 130 ? 1 : 2].push_back(sample);
  const std::vector<int64_t> sizes = {100, 30, 7}, firsts = {0, 100, 130};
  for (size_t task = 0; task < 3; ++task) {
    const auto size = static_cast<size_t>(sizes[task]);
    REQUIRE(by_task[task].size() == 100);
    // Pass after pass: each full slice holds every sample of the task once.
    for (size_t start = 0; start + size <= 100; start += size) {
      std::vector<int64_t> pass(by_task[task].begin() + static_cast<std::ptrdiff_t>(start),
                                by_task[task].begin() + static_cast<std::ptrdiff_t>(start + size));
      std::sort(pass.begin(), pass.end());
      std::vector<int64_t> expected(size);
      std::iota(expected.begin(), expected.end(), firsts[task]);
      CHECK(pass == expected);
    }
  }
  const std::vector<int64_t> first_pass(by_task[2].begin(), by_task[2].begin() + 7);
  const std::vector<int64_t> second_pass(by_task[2].begin() + 7, by_task[2].begin() + 14);
  CHECK(first_pass != second_pass);
}

TEST_CASE("The tasks of a balanced epoch are mixed, not blocked", "[data][sampler]") {
  const Sampler sampler(config_with(cdsp::Sampling::kBalanced), split_of({400, 200}));
  const std::vector<int64_t> order = sampler.epoch_order(0);
  for (size_t start = 0; start < order.size(); start += 100) {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(start);
    const auto of_task_0 =
        std::count_if(first, first + 100, [](int64_t sample) { return sample < 400; });
    CHECK(of_task_0 > 25);
    CHECK(of_task_0 < 75);
  }
}

TEST_CASE("An order file is followed to the letter, the same in every epoch", "[data][sampler]") {
  const TemporaryFolder folder;
  const Sampler sampler = sampler_of_file(folder, "5\n99\n0\n5\n");
  CHECK(sampler.epoch_size() == 4);
  CHECK(sampler.epoch_order(0) == std::vector<int64_t>{5, 99, 0, 5});
  CHECK(sampler.epoch_order(7) == std::vector<int64_t>{5, 99, 0, 5});
}

TEST_CASE("Blanks, empty lines, carriage returns and a missing last newline do no harm",
          "[data][sampler]") {
  const TemporaryFolder folder;
  CHECK(sampler_of_file(folder, "5\r\n\n 99\t\n0  \n3\n\n  \n").epoch_order(0) ==
        std::vector<int64_t>{5, 99, 0, 3});
  CHECK(sampler_of_file(folder, "5\n6").epoch_order(0) == std::vector<int64_t>{5, 6});
}

TEST_CASE("A mistake in an order file is reported by file and line", "[data][sampler]") {
  const std::string allowed = "; allowed: one training sample index from 0 to 99 (data.order_file)";
  CHECK(complaint_on("5\n100\n") == "order.txt:2: found \"100\"" + allowed);
  CHECK(complaint_on("5\n\n-1\n") == "order.txt:3: found \"-1\"" + allowed);
  CHECK(complaint_on("seven\n") == "order.txt:1: found \"seven\"" + allowed);
  CHECK(complaint_on("1 2\n") == "order.txt:1: found \"1 2\"" + allowed);
  CHECK(complaint_on("1.5") == "order.txt:1: found \"1.5\"" + allowed);
  CHECK(complaint_on("99999999999999999999") ==
        "order.txt:1: found \"99999999999999999999\"" + allowed);
  CHECK(complaint_on("") == "order.txt: holds no sample index; data.order_file needs one a line");
  CHECK(complaint_on(" \n\n") ==
        "order.txt: holds no sample index; data.order_file needs one a line");
}

TEST_CASE("A missing order file is named", "[data][sampler]") {
  cdsp::Config config;
  config.data.order_file = "/nowhere/order.txt";
  REQUIRE_THROWS_AS(Sampler(config, split_of({5})), cdsp::InputError);
  REQUIRE_THROWS_WITH(Sampler(config, split_of({5})), "/nowhere/order.txt: no such file");
}
