#include "eval/task_input.h"

#include <ATen/ATen.h>

#include "train/device_split.h"

namespace cdsp {

at::Tensor task_input(const Protocol& protocol, const at::Tensor& tasks, int64_t num_tasks,
                      at::ScalarType dtype) {
  switch (protocol.kind) {
    case Protocol::Kind::kInformed:
      return one_hot_tasks(tasks, num_tasks, dtype);
    case Protocol::Kind::kBlind:
      return {};
    case Protocol::Kind::kForced:
      break;
  }
  return one_hot_tasks(at::full_like(tasks, protocol.forced_task), num_tasks, dtype);
}

}  // namespace cdsp
