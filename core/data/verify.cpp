#include "data/verify.h"

#include <algorithm>

#include "base/error.h"
#include "data/digest.h"
#include "data/idx.h"
#include "data/originals.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kImages = "-images-idx3-ubyte";
constexpr const char* kLabels = "-labels-idx1-ubyte";
constexpr const char* kSplits[] = {"train", "t10k"};

bool has_data(const fs::path& folder) {
  const auto exists = [](const fs::path& path) {
    std::error_code code;
    return fs::exists(path, code) || fs::exists(path.string() + ".gz", code);
  };
  return std::any_of(std::begin(kSplits), std::end(kSplits), [&](const std::string& split) {
    return exists(folder / (split + kImages)) || exists(folder / (split + kLabels));
  });
}

std::vector<std::string> tasks_in(const fs::path& root) {
  std::vector<std::string> tasks;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory() && has_data(entry.path()))
      tasks.push_back(entry.path().filename().string());
  }
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

/// `name` without .gz.
const OriginalFile* find_original_file(const std::string& task, const std::string& name) {
  const OriginalTask* original = find_original_task(task);
  if (original == nullptr) return nullptr;
  for (const OriginalFile& file : original->files) {
    if (file.name == name + ".gz") return &file;
  }
  return nullptr;
}

FileReport report_on(const IdxReader& reader, const std::string& task, const std::string& name) {
  FileReport report;
  report.path = reader.path();
  report.shape = reader.shape();
  report.md5 = digests_of_file(reader.path()).md5;
  const OriginalFile* original = find_original_file(task, name);
  if (original == nullptr) return report;
  report.original_items = original->items;
  const std::string content_md5 = original->content_md5;
  if (report.md5 == original->md5) {
    report.origin = FileOrigin::kOriginal;
  } else if (!content_md5.empty() && md5_of_content(reader.path()) == content_md5) {
    report.origin = FileOrigin::kRepacked;
  } else {
    report.origin = FileOrigin::kOther;
  }
  return report;
}

std::vector<int64_t> count_classes(const std::vector<uint8_t>& labels) {
  std::vector<int64_t> counts;
  for (const uint8_t label : labels) {
    if (label >= counts.size()) counts.resize(size_t{label} + 1, 0);
    ++counts[label];
  }
  return counts;
}

SplitReport read_split(const fs::path& folder, const std::string& task, const std::string& split) {
  SplitReport report;
  report.split = split;
  IdxReader images(find_idx_file(folder, split + kImages), 3);
  IdxReader labels(find_idx_file(folder, split + kLabels), 1);
  images.finish();
  std::vector<uint8_t> values(static_cast<size_t>(labels.items()));
  labels.read(labels.items(), values.data());
  labels.finish();
  report.class_counts = count_classes(values);
  report.images = report_on(images, task, split + kImages);
  report.labels = report_on(labels, task, split + kLabels);
  return report;
}

void check_split(const SplitReport& split, const TaskReport& task,
                 std::vector<std::string>& problems) {
  if (split.images.shape[0] != split.labels.shape[0]) {
    problems.push_back(split.images.path.string() + ": holds " +
                       std::to_string(split.images.shape[0]) + " images, but " +
                       split.labels.path.string() + " holds " +
                       std::to_string(split.labels.shape[0]) + " labels");
  }
  if (split.class_counts.size() > 10 && find_original_task(task.task) != nullptr) {
    problems.push_back(split.labels.path.string() + ": has label " +
                       std::to_string(split.class_counts.size() - 1) + "; allowed: 0 to 9");
  }
  const auto& first = task.splits.front().images.shape;
  if (split.images.shape[1] != first[1] || split.images.shape[2] != first[2]) {
    problems.push_back(split.images.path.string() +
                       ": its images and the training images differ in size");
  }
}

TaskReport verify_task(const fs::path& root, const std::string& name) {
  TaskReport report;
  report.task = name;
  for (const char* split : kSplits) {
    try {
      report.splits.push_back(read_split(root / name, name, split));
      check_split(report.splits.back(), report, report.problems);
    } catch (const InputError& error) {
      report.problems.emplace_back(error.what());
    }
  }
  return report;
}

}  // namespace

const char* to_string(FileOrigin origin) {
  switch (origin) {
    case FileOrigin::kOriginal:
      return "original";
    case FileOrigin::kRepacked:
      return "packed again";
    case FileOrigin::kOther:
      return "not the original";
    case FileOrigin::kUnknown:
      return "no sum known";
  }
  return "?";
}

std::vector<TaskReport> verify_data(const fs::path& root, std::vector<std::string> tasks) {
  std::error_code code;
  if (!fs::is_directory(root, code)) throw InputError(root.string() + ": no such folder");
  if (tasks.empty()) tasks = tasks_in(root);
  if (tasks.empty()) {
    throw InputError(root.string() +
                     ": no folder in it holds IDX files (TASK/train-images-idx3-ubyte.gz ...); "
                     "'cdsp data fetch' downloads the public data sets");
  }
  std::vector<TaskReport> reports;
  reports.reserve(tasks.size());
  for (const std::string& task : tasks) reports.push_back(verify_task(root, task));
  return reports;
}

}  // namespace cdsp
