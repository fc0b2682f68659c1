#include "data/dataset.h"

#include <algorithm>
#include <fstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "support/catch.h"
#include "support/idx_files.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace {

using cdsp::load_dataset;
using cdsp::test::gzip_bytes;
using cdsp::test::idx_bytes;
using cdsp::test::Packing;
using cdsp::test::RandomTask;
using cdsp::test::TemporaryFolder;
using cdsp::test::write_idx_split;
using cdsp::test::write_idx_task;

cdsp::Config config_for(const TemporaryFolder& folder, std::vector<std::string> tasks) {
  cdsp::Config config;
  config.data.root = folder.path();
  config.data.tasks = std::move(tasks);
  return config;
}

RandomTask random_task(int64_t train, int64_t test, uint64_t seed) {
  RandomTask task;
  task.train = train;
  task.test = test;
  task.seed = seed;
  return task;
}

void write_two_tasks(const TemporaryFolder& folder) {
  write_idx_task(folder.path() / "one", random_task(40, 20, 1));
  RandomTask plain = random_task(30, 10, 2);
  plain.packing = Packing::kPlain;
  write_idx_task(folder.path() / "two", plain);
}

/// What load_dataset complains about.
std::string complaint(const cdsp::Config& config) {
  return cdsp::test::message_of<cdsp::InputError>([&] { load_dataset(config); });
}

}  // namespace

TEST_CASE("Tasks lie one after the other in the order of data.tasks", "[data][dataset]") {
  const TemporaryFolder folder;
  write_two_tasks(folder);
  const cdsp::Dataset dataset = load_dataset(config_for(folder, {"two", "one"}));
  CHECK(dataset.task_names == std::vector<std::string>{"two", "one"});
  CHECK(dataset.test.task_offsets == std::vector<int64_t>{0, 10, 30});
  CHECK(dataset.train.rows == 28);
  CHECK(dataset.train.pixels.size() == 70u * 784u);
  CHECK(dataset.train.labels[30 + 13] == 3);

  const cdsp::Dataset alone = load_dataset(config_for(folder, {"one"}));
  CHECK(std::equal(alone.train.pixels.begin(), alone.train.pixels.end(),
                   dataset.train.pixels.begin() + 30 * 784));
}

TEST_CASE("limit_per_task keeps the first training images and all test images", "[data][dataset]") {
  const TemporaryFolder folder;
  write_two_tasks(folder);
  cdsp::Config config = config_for(folder, {"one", "two"});
  const cdsp::Dataset all = load_dataset(config);
  config.data.limit_per_task = 35;
  const cdsp::Dataset limited = load_dataset(config);
  CHECK(limited.train.task_offsets == std::vector<int64_t>{0, 35, 65});
  CHECK(limited.test.task_offsets == all.test.task_offsets);
  CHECK(std::equal(limited.train.pixels.begin(), limited.train.pixels.begin() + 35 * 784,
                   all.train.pixels.begin()));
  CHECK(std::equal(limited.train.labels.begin() + 35, limited.train.labels.end(),
                   all.train.labels.begin() + 40));
}

TEST_CASE("Damage beyond limit_per_task is still found", "[data][dataset]") {
  const TemporaryFolder folder;
  write_two_tasks(folder);
  std::vector<uint8_t> pixels(40 * 784 - 1);
  folder.write("one/train-images-idx3-ubyte.gz", gzip_bytes(idx_bytes({40, 28, 28}, pixels)));
  cdsp::Config config = config_for(folder, {"one"});
  config.data.limit_per_task = 5;
  CHECK_THAT(complaint(config),
             Catch::Matchers::ContainsSubstring("one/train-images-idx3-ubyte.gz: is truncated"));
}

TEST_CASE("The fingerprint tells data sets apart and is the same for the same data",
          "[data][dataset]") {
  const TemporaryFolder folder;
  write_two_tasks(folder);
  cdsp::Config config = config_for(folder, {"one", "two"});
  const std::string fingerprint = load_dataset(config).fingerprint;
  CHECK(fingerprint.size() == 16);
  config.seed = 99;
  CHECK(load_dataset(config).fingerprint == fingerprint);
  config.data.limit_per_task = 39;
  CHECK(load_dataset(config).fingerprint != fingerprint);
  CHECK(load_dataset(config_for(folder, {"two", "one"})).fingerprint != fingerprint);

  write_idx_task(folder.path() / "three", random_task(40, 20, 1));  // the pixels of "one"
  CHECK(load_dataset(config_for(folder, {"three", "two"})).fingerprint != fingerprint);
}

TEST_CASE("Coarse labels reach the data set", "[data][dataset]") {
  const TemporaryFolder folder;
  for (const char* task : {"mnist", "kmnist", "fashion-mnist"})
    write_idx_task(folder.path() / task);
  cdsp::Config config = config_for(folder, {"mnist", "kmnist", "fashion-mnist"});
  config.data.labels = cdsp::LabelScheme::kCoarse;
  const cdsp::Dataset dataset = load_dataset(config);
  CHECK(dataset.train.labels[7] == 7);
  CHECK(dataset.train.labels[40 + 7] == 1);
  CHECK(dataset.train.labels[80 + 7] == 1);
  CHECK(dataset.test.labels[40 + 4] == 0);
}

TEST_CASE("Every mistake in the files has its own clear line", "[data][dataset]") {
  const TemporaryFolder folder;
  write_two_tasks(folder);
  const cdsp::Config config = config_for(folder, {"one", "two"});
  const std::string root = folder.path().string();
  const std::vector<uint8_t> pixels(30 * 784);

  SECTION("a task that is not there") {
    CHECK(complaint(config_for(folder, {"one", "gone"})) ==
          root +
              "/gone/train-images-idx3-ubyte: no such file, nor train-images-idx3-ubyte.gz "
              "('cdsp data fetch' downloads the public data sets)");
  }
  SECTION("numbers of images and labels that disagree") {
    folder.write("two/train-labels-idx1-ubyte", idx_bytes({29}, std::vector<uint8_t>(29)));
    CHECK(complaint(config) == root + "/two/train-images-idx3-ubyte: holds 30 images, but " + root +
                                   "/two/train-labels-idx1-ubyte holds 29 labels");
  }
  SECTION("a label beyond the classes") {
    std::vector<uint8_t> labels(30);
    labels[17] = 10;
    folder.write("two/train-labels-idx1-ubyte", idx_bytes({30}, labels));
    CHECK(complaint(config) ==
          root +
              "/two/train-labels-idx1-ubyte: item 17 (counted from 0) has label 10; "
              "allowed: 0 to 9 (model.classes = 10)");
  }
  SECTION("tasks of different image sizes") {
    write_idx_split(folder.path() / "two", "train", std::vector<uint8_t>(30 * 32 * 32),
                    std::vector<uint8_t>(30), 32, 32, Packing::kPlain);
    CHECK(complaint(config) ==
          root + "/two/train-images-idx3-ubyte: holds images of 32x32 pixels, but those of " +
              root + "/one/train-images-idx3-ubyte.gz have 28x28; all tasks need the same");
  }
  SECTION("training and test images of different sizes") {
    write_idx_split(folder.path() / "two", "t10k", std::vector<uint8_t>(10 * 32 * 32),
                    std::vector<uint8_t>(10), 32, 32, Packing::kPlain);
    CHECK(complaint(config_for(folder, {"two"})) ==
          root + "/two/t10k-images-idx3-ubyte: its images and the training images differ in size");
  }
  SECTION("a patch that does not divide the images") {
    cdsp::Config other = config;
    other.model.patch_size = 5;
    CHECK(complaint(other) ==
          "model.patch_size: found 5; allowed: a divisor of both sides of the 28x28 images of " +
              root + "/one/train-images-idx3-ubyte.gz");
  }
  SECTION("labels in the images' place") {
    folder.write("two/train-images-idx3-ubyte", idx_bytes({30}, std::vector<uint8_t>(30)));
    CHECK_THAT(complaint(config), Catch::Matchers::ContainsSubstring(
                                      "two/train-images-idx3-ubyte: starts with 0x00000801"));
  }
  SECTION("no task at all") {
    CHECK_THAT(complaint(config_for(folder, {})), Catch::Matchers::ContainsSubstring("data.tasks"));
  }
}

TEST_CASE("Rectangular images are fine where the patch divides both sides", "[data][dataset]") {
  const TemporaryFolder folder;
  RandomTask task;
  task.rows = 8;
  task.cols = 12;
  write_idx_task(folder.path() / "one", task);
  const cdsp::Dataset dataset = load_dataset(config_for(folder, {"one"}));
  CHECK(dataset.train.rows == 8);
  CHECK(dataset.train.cols == 12);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

/// A line such as "VmHWM: 1234 kB" of /proc/self/status, in bytes.
int64_t memory_of_this_process(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != name + ":") continue;
    int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  }
  return -1;
}

}  // namespace

TEST_CASE("The 180,000 training and 30,000 test images of three full tasks need less than 200 MB",
          "[data][dataset]") {
  const TemporaryFolder folder;
  for (const char* task : {"one", "two", "three"}) {
    for (const auto& [prefix, count] :
         {std::pair<const char*, uint32_t>{"train", 60000}, {"t10k", 10000}}) {
      const std::string name = std::string(task) + "/" + prefix;
      folder.write(name + "-images-idx3-ubyte.gz",
                   gzip_bytes(idx_bytes({count, 28, 28}, std::vector<uint8_t>(count * 784)), 1));
      folder.write(name + "-labels-idx1-ubyte.gz",
                   gzip_bytes(idx_bytes({count}, std::vector<uint8_t>(count))));
    }
  }
  // In a child process: its high-water mark starts at its own size, not at that of earlier tests.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int result = 1;
    try {
      const int64_t before = memory_of_this_process("VmRSS");
      const cdsp::Dataset dataset = load_dataset(config_for(folder, {"one", "two", "three"}));
      const int64_t peak = memory_of_this_process("VmHWM") - before;
      const bool is_whole = dataset.train.size() == 180000 && dataset.test.size() == 30000;
      // The training images alone take 141 MB: less would mean that the measurement is broken.
      result = is_whole && before > 0 && peak > 141'000'000 && peak < 200'000'000 ? 0 : 2;
    } catch (...) {
    }
    ::_exit(result);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
