#include "train/device_batch.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "base/random.h"
#include "kernels/optional_input.h"
#include "train/device_batch_blocks.h"

namespace cdsp {

DeviceBatch make_device_batch(const DeviceSplit& split, const at::Tensor& order,
                              const at::Tensor& counters, int64_t count, int64_t num_tasks,
                              at::ScalarType dtype, const RouterConfig& config, uint64_t seed) {
  const int64_t rows = split.images.size(1), cols = split.images.size(2);
  DeviceBatch made;
  made.batch.images = at::empty({count, rows, cols}, split.images.options());
  made.batch.labels = at::empty({count}, split.labels.options());
  made.batch.tasks = at::empty({count}, split.tasks.options());
  made.tasks = at::empty({count, num_tasks}, split.images.options().dtype(dtype));
  made.told = at::empty({count}, split.images.options());
  const int64_t* counter = counters.data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(dtype, "make_device_batch", [&] {
    run_grid(
        MakeBatch<scalar_t>{
            split.images.data_ptr<uint8_t>(), split.labels.data_ptr<int64_t>(),
            split.tasks.data_ptr<int64_t>(), order.data_ptr<int64_t>(),
            counter + step_counter::kStep, counter + step_counter::kBegin,
            made.batch.images.data_ptr<uint8_t>(), made.batch.labels.data_ptr<int64_t>(),
            made.batch.tasks.data_ptr<int64_t>(), made.tasks.data_ptr<scalar_t>(),
            made.told.data_ptr<uint8_t>(), count, rows * cols, num_tasks, seed,
            static_cast<uint32_t>(RandomPurpose::kTaskDropout),
            config.dropout_unit == DropoutUnit::kBatch,
            rows * cols % 16 == 0 && is_on_border(split.images) && is_on_border(made.batch.images),
            config.task_dropout},
        split.images.get_device());
  });
  return made;
}

}  // namespace cdsp
