// Batches gathered from a split.
#include "train/device_split.h"

#include <stdexcept>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("a gathered batch has the samples asked for, in their order, repeats and all") {
  const Dataset data = tiny_dataset();
  const DeviceSplit split = place(data.train, at::kCPU);
  for (const at::Tensor& samples :
       {at::tensor({12, 0, 3, 3, 7}, at::kLong), at::tensor({5}, at::kLong),
        at::arange(13, at::kLong).slice(0, 0, 13, 2)}) {  // the last is not contiguous
    const Batch batch = gather(split, samples);
    REQUIRE(batch.images.size(0) == samples.numel());
    for (int64_t i = 0; i < samples.numel(); ++i) {
      const int64_t sample = samples[i].item<int64_t>();
      CHECK(at::equal(batch.images[i], split.images[sample]));
      CHECK(batch.labels[i].item<int64_t>() == split.labels[sample].item<int64_t>());
      CHECK(batch.tasks[i].item<int64_t>() == split.tasks[sample].item<int64_t>());
    }
  }
}

TEST_CASE("a sample that the split has not is refused") {
  const Dataset data = tiny_dataset();
  const DeviceSplit split = place(data.train, at::kCPU);
  CHECK_THROWS_AS(gather(split, at::tensor({0, 13}, at::kLong)), std::out_of_range);
  CHECK_THROWS_AS(gather(split, at::tensor({-1}, at::kLong)), std::out_of_range);
}
