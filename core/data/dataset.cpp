#include "data/dataset.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "data/fingerprint.h"
#include "data/glyphs.h"
#include "data/idx.h"
#include "data/labels.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

std::string size_text(int64_t rows, int64_t cols) {
  return std::to_string(rows) + "x" + std::to_string(cols);
}

void check_patches(const Config& config, const std::string& origin, int64_t rows, int64_t cols) {
  const int64_t patch = config.model.patch_size;
  if (rows % patch == 0 && cols % patch == 0) return;
  throw InputError("model.patch_size: found " + std::to_string(patch) +
                   "; allowed: a divisor of both sides of the " + size_text(rows, cols) +
                   " images of " + origin);
}

/// Makes room for `counts[t]` images of task t.
void lay_out(Split& split, int64_t rows, int64_t cols, const std::vector<int64_t>& counts) {
  split.rows = rows;
  split.cols = cols;
  split.task_offsets = {0};
  for (const int64_t count : counts)
    split.task_offsets.push_back(split.task_offsets.back() + count);
  split.labels.resize(static_cast<size_t>(split.task_offsets.back()));
  split.pixels.resize(static_cast<size_t>(split.task_offsets.back() * rows * cols));
}

uint8_t* first_pixel(Split& split, size_t task) {
  return split.pixels.data() + split.task_offsets[task] * split.rows * split.cols;
}
uint8_t* first_label(Split& split, size_t task) {
  return split.labels.data() + split.task_offsets[task];
}

/// The two files of one task's split, headers read and checked against each other.
struct TaskFiles {
  IdxReader images;
  IdxReader labels;

  TaskFiles(const fs::path& folder, const std::string& prefix)
      : images(find_idx_file(folder, prefix + "-images-idx3-ubyte"), 3),
        labels(find_idx_file(folder, prefix + "-labels-idx1-ubyte"), 1) {
    if (images.items() == labels.items()) return;
    throw InputError(images.path().string() + ": holds " + std::to_string(images.items()) +
                     " images, but " + labels.path().string() + " holds " +
                     std::to_string(labels.items()) + " labels");
  }
};

void check_shapes(const Config& config, const std::vector<TaskFiles>& files) {
  const IdxReader& first = files.front().images;
  check_patches(config, first.path().string(), first.shape()[1], first.shape()[2]);
  for (const TaskFiles& task : files) {
    const IdxReader& other = task.images;
    if (other.shape()[1] == first.shape()[1] && other.shape()[2] == first.shape()[2]) continue;
    throw InputError(other.path().string() + ": holds images of " +
                     size_text(other.shape()[1], other.shape()[2]) + " pixels, but those of " +
                     first.path().string() + " have " +
                     size_text(first.shape()[1], first.shape()[2]) + "; all tasks need the same");
  }
}

/// Opens the files of all tasks for both splits before reading any, so that a mistake shows at
/// once.
using SplitFiles = std::array<std::vector<TaskFiles>, 2>;  // train, test

SplitFiles open_files(const Config& config) {
  SplitFiles files;
  for (const std::string& task : config.data.tasks) {
    check_label_scheme(config.data.labels, task);
    files[0].emplace_back(config.data.root / task, "train");
    files[1].emplace_back(config.data.root / task, "t10k");
  }
  std::vector<int64_t> shape = files[0].front().images.shape();
  for (const auto& split : files) {
    check_shapes(config, split);
    if (split.front().images.shape()[1] != shape[1] ||
        split.front().images.shape()[2] != shape[2]) {
      throw InputError(split.front().images.path().string() +
                       ": its images and the training images differ in size");
    }
  }
  return files;
}

Split read_split(const Config& config, std::vector<TaskFiles>& files, int64_t limit) {
  std::vector<int64_t> counts;
  counts.reserve(files.size());
  for (const TaskFiles& task : files) {
    counts.push_back(limit > 0 ? std::min(limit, task.images.items()) : task.images.items());
  }
  Split split;
  lay_out(split, files.front().images.shape()[1], files.front().images.shape()[2], counts);
  for (size_t task = 0; task < files.size(); ++task) {
    IdxReader& labels = files[task].labels;
    labels.read(counts[task], first_label(split, task));
    labels.finish();
    apply_label_scheme(config.data.labels, config.data.tasks[task], labels.path().string(),
                       config.model.classes, first_label(split, task), counts[task]);
    files[task].images.read(counts[task], first_pixel(split, task));
    files[task].images.finish();
  }
  return split;
}

Split draw_split(const std::vector<const GlyphTask*>& tasks, GlyphSplit which, int64_t count) {
  Split split;
  lay_out(split, kGlyphSize, kGlyphSize, std::vector<int64_t>(tasks.size(), count));
  for (size_t task = 0; task < tasks.size(); ++task) {
    draw_glyphs(*tasks[task], which, count, first_pixel(split, task), first_label(split, task));
  }
  return split;
}

void draw_dataset(const Config& config, Dataset& dataset) {
  if (config.model.classes < kGlyphClasses) {
    throw InputError("model.classes: found " + std::to_string(config.model.classes) +
                     "; allowed: at least " + std::to_string(kGlyphClasses) +
                     " with data.source glyphs");
  }
  check_patches(config, "data.source glyphs", kGlyphSize, kGlyphSize);
  std::vector<const GlyphTask*> tasks;
  for (const std::string& name : config.data.tasks) {
    check_label_scheme(config.data.labels, name);
    tasks.push_back(&glyph_task(name));
  }
  const int64_t limit = config.data.limit_per_task;
  const int64_t train = config.data.glyphs_train;
  dataset.train = draw_split(tasks, GlyphSplit::kTrain, limit > 0 ? std::min(limit, train) : train);
  dataset.test = draw_split(tasks, GlyphSplit::kTest, config.data.glyphs_test);
}

std::string fingerprint_of(const Dataset& dataset) {
  Fingerprint fingerprint;
  for (const std::string& name : dataset.task_names) fingerprint.add(name);
  for (const Split* split : {&dataset.train, &dataset.test}) {
    fingerprint.add(split->rows);
    fingerprint.add(split->cols);
    for (const int64_t offset : split->task_offsets) fingerprint.add(offset);
    fingerprint.add(split->pixels.data(), split->pixels.size());
    fingerprint.add(split->labels.data(), split->labels.size());
  }
  return fingerprint.text();
}

}  // namespace

Dataset load_dataset(const Config& config) {
  if (config.data.tasks.empty())
    throw InputError("data.tasks: found an empty list; allowed: one task or more");
  Dataset dataset;
  dataset.task_names = config.data.tasks;
  if (config.data.source == DataSource::kGlyphs) {
    draw_dataset(config, dataset);
  } else {
    SplitFiles files = open_files(config);
    dataset.train = read_split(config, files[0], config.data.limit_per_task);
    dataset.test = read_split(config, files[1], 0);
  }
  dataset.fingerprint = fingerprint_of(dataset);
  return dataset;
}

}  // namespace cdsp
