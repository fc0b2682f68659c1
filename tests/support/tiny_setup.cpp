#include "support/tiny_setup.h"

#include <stdexcept>

#include <ATen/ATen.h>

#include "base/random.h"

namespace cdsp::test {
namespace {

Split random_split(const TinyShape& shape, const std::vector<int64_t>& sizes, uint64_t index) {
  RandomStream random(shape.seed, RandomPurpose::kTest, index);
  Split split;
  split.rows = shape.rows;
  split.cols = shape.cols;
  split.task_offsets = {0};
  for (const int64_t size : sizes) split.task_offsets.push_back(split.task_offsets.back() + size);
  for (int64_t image = 0; image < split.task_offsets.back(); ++image) {
    split.labels.push_back(
        static_cast<uint8_t>(random.below(static_cast<uint64_t>(shape.classes))));
    for (int64_t pixel = 0; pixel < shape.rows * shape.cols; ++pixel) {
      split.pixels.push_back(static_cast<uint8_t>(random.below(256)));
    }
  }
  return split;
}

}  // namespace

Dataset tiny_dataset(const TinyShape& shape) {
  Dataset data;
  for (int64_t task = 0; task < shape.tasks(); ++task) {
    data.task_names.push_back("task-" + std::to_string(task));
  }
  data.train = random_split(shape, shape.train, 0);
  data.test = random_split(shape, shape.test, 1);
  data.fingerprint = "random pixels of seed " + std::to_string(shape.seed);
  return data;
}

Config tiny_config(Variant variant) {
  Config config;
  config.variant = variant;
  config.seed = 5;
  config.model.dtype = DType::kFloat64;
  config.model.d_model = 8;
  config.model.heads = 2;
  config.model.kv_heads = 1;
  config.model.classes = 4;
  config.moe.num_experts = 4;
  config.moe.d_base = 22;
  config.moe.d_ffn = 5;
  config.topology.init_std = 0.5;
  config.router.task_embedding = 3;
  config.router.task_dropout = 0.0;
  config.data.tasks = {"task-0", "task-1", "task-2"};
  config.train.epochs = 2;
  config.train.batch_size = 4;
  config.train.device = "cpu";
  validate(config, "tiny_config");
  return config;
}

InputShape input_shape_of(const TinyShape& shape) {
  return {shape.rows, shape.cols, shape.tasks()};
}

Batch first_images(const Split& split, int64_t count) {
  Batch batch = slice(place(split, at::kCPU), 0, count);
  batch.images = batch.images.clone();  // may outlive the split
  return batch;
}

at::Tensor parameter_of(const Network& network, const std::string& name) {
  for (const Parameter& parameter : network.parameters().all()) {
    if (parameter.name == name) return parameter.value;
  }
  throw std::out_of_range("the network has no parameter " + name);
}

}  // namespace cdsp::test
