// A batch made by the block program against one gathered on the host.
#include "train/device_batch.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/tiny_setup.h"
#include "train/task_dropout.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("a batch made on the device is the sampler's, with the host's draws of task dropout") {
  const Dataset data = tiny_dataset();
  const DeviceSplit split = place(data.train, at::kCPU);
  RouterConfig config;
  config.task_dropout = 0.5;
  config.dropout_unit = GENERATE(DropoutUnit::kSample, DropoutUnit::kBatch);
  const at::Tensor order = at::tensor({12, 3, 7, 0, 5, 9, 1}, at::kLong);
  for (const int64_t step : {1, 2, 77, 1000000}) {
    const at::Tensor counters = at::tensor({step, int64_t{2}, int64_t{0}}, at::kLong);
    const DeviceBatch made =
        make_device_batch(split, order, counters, 5, 3, at::kDouble, config, 99);
    const Batch expected = gather(split, order.narrow(0, 2, 5));
    CHECK(at::equal(made.batch.images, expected.images));
    CHECK(at::equal(made.batch.labels, expected.labels));
    CHECK(at::equal(made.batch.tasks, expected.tasks));
    const at::Tensor kept = at::tensor(draw_task_kept(config, 99, step, 5), at::kDouble);
    CHECK(at::equal(made.told.to(at::kDouble), kept));
    CHECK(at::equal(made.tasks, one_hot_tasks(expected.tasks, 3, at::kDouble) * kept.unsqueeze(1)));
  }
}
