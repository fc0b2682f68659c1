#include "data/sampler.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/random.h"

namespace cdsp {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr const char* kBlanks = " \t\r\v\f";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// One index a line; lines without one are passed over.
std::vector<int64_t> read_order(const std::filesystem::path& path, int64_t samples) {
  const std::string content = read_file(path);
  std::vector<int64_t> order;
  int64_t line_number = 0;
  for (size_t start = 0; start < content.size(); ++line_number) {
    const size_t end = std::min(content.find('\n', start), content.size());
    const std::string_view line = trimmed(std::string_view(content).substr(start, end - start));
    start = end + 1;
    if (line.empty()) continue;
    int64_t index = -1;
    const auto [rest, code] = std::from_chars(line.data(), line.data() + line.size(), index);
    const bool is_number = code == std::errc() && rest == line.data() + line.size();
    if (!is_number || index < 0 || index >= samples) {
      throw InputError(path.string() + ":" + std::to_string(line_number + 1) + ": found \"" +
                       std::string(line.substr(0, 40)) +
                       "\"; allowed: one training sample index from 0 to " +
                       std::to_string(samples - 1) + " (data.order_file)");
    }
    order.push_back(index);
  }
  if (order.empty()) {
    throw InputError(path.string() + ": holds no sample index; data.order_file needs one a line");
  }
  return order;
}

/// `wanted` samples of the task [first, first + size): whole shuffled passes, the last one cut
/// short.
std::vector<int64_t> repeated_passes(int64_t first, int64_t size, int64_t wanted,
                                     RandomStream& stream) {
  std::vector<int64_t> samples;
  samples.reserve(static_cast<size_t>(wanted));
  while (static_cast<int64_t>(samples.size()) < wanted) {
    for (const int64_t place : stream.permutation(size)) {
      if (static_cast<int64_t>(samples.size()) == wanted) break;
      samples.push_back(first + place);
    }
  }
  return samples;
}

}  // namespace

Sampler::Sampler(const Config& config, const Split& train)
    : seed_(config.seed), sampling_(config.data.sampling), task_offsets_(train.task_offsets) {
  if (config.data.order_file) {
    fixed_order_ = read_order(*config.data.order_file, train.size());
    epoch_size_ = static_cast<int64_t>(fixed_order_.size());
  } else if (sampling_ == Sampling::kConcat) {
    epoch_size_ = train.size();
  } else {
    for (int64_t task = 0; task < train.tasks(); ++task) {
      if (train.task_size(task) == 0) {
        throw InputError("data.sampling: found balanced, but task number " + std::to_string(task) +
                         " has no images");
      }
      epoch_size_ = std::max(epoch_size_, train.task_size(task) * train.tasks());
    }
  }
}

std::vector<int64_t> Sampler::epoch_order(int64_t epoch) const {
  if (!fixed_order_.empty()) return fixed_order_;
  RandomStream stream(seed_, RandomPurpose::kDataOrder, static_cast<uint64_t>(epoch));
  if (sampling_ == Sampling::kConcat) return stream.permutation(epoch_size_);

  // Which task comes when is one shuffle; which of its samples then comes is the task's own passes
  // in turn.
  const int64_t tasks = static_cast<int64_t>(task_offsets_.size()) - 1;
  const int64_t per_task = epoch_size_ / tasks;
  const std::vector<int64_t> turns = stream.permutation(epoch_size_);
  std::vector<std::vector<int64_t>> passes;
  for (size_t task = 0; task + 1 < task_offsets_.size(); ++task) {
    passes.push_back(repeated_passes(
        task_offsets_[task], task_offsets_[task + 1] - task_offsets_[task], per_task, stream));
  }
  std::vector<size_t> next(passes.size(), 0);
  std::vector<int64_t> order;
  order.reserve(turns.size());
  for (const int64_t turn : turns) {
    const size_t task = static_cast<size_t>(turn / per_task);
    order.push_back(passes[task][next[task]++]);
  }
  return order;
}

}  // namespace cdsp
