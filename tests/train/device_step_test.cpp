// The device form of the training step: the same numbers as the ordinary one, nothing in it from
// the host, and as a CUDA graph the same numbers again.
#include "train/device_step.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include "base/error.h"
#include "kernels/block_grid.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/gpu.h"
#include "support/pretend_gpu.h"
#include "support/temp_dir.h"
#include "support/tiny_setup.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct Trained {
  at::Tensor weights, moments, conflict;
  std::vector<double> losses, norms, epoch_sums;
  StepForm form = StepForm::kAuto;  // of the last step
};

Trained train(const Config& config, const Dataset& data, at::Device device,
              bool look_at_every_step = true) {
  Trainer trainer(config, data, device);
  Trained result;
  while (!trainer.finished()) {
    trainer.step();
    if (look_at_every_step || trainer.finished()) {
      const StepMetrics m = trainer.read_metrics();
      result.losses.push_back(m.loss_total);
      result.norms.push_back(m.grad_norm);
    }
    if (!trainer.at_epoch_end()) continue;
    const EpochSums sums = trainer.epoch_sums();
    result.epoch_sums.insert(result.epoch_sums.end(), sums.correct.begin(), sums.correct.end());
    result.epoch_sums.insert(result.epoch_sums.end(), sums.loss.begin(), sums.loss.end());
    for (const at::Tensor& mean : trainer.epoch_mean_conflict()) result.conflict = mean;
    trainer.begin_epoch();
  }
  result.form = trainer.form_of_steps();
  result.weights = trainer.network().parameters().flat().to(at::kCPU).clone();
  result.moments = trainer.state().tensors.at("optimizer.second_moment").to(at::kCPU).clone();
  return result;
}

/// 100 steps of 25 epochs: three batches of 4 images and one of a single image each.
Config hundred_steps(Variant variant, StepForm form) {
  Config config = tiny_config(variant);
  config.train.epochs = 25;
  config.train.engine = EngineChoice::kReference;
  config.train.step = form;
  config.router.task_dropout = 0.4;
  config.optimizer.lr = 1e-3;
  config.optimizer.topology_lr = 1e-2;
  return config;
}

void check_close(const Trained& found, const Trained& expected, double tolerance) {
  CHECK(relative_error(found.losses, expected.losses) < tolerance);
  CHECK(relative_error(found.norms, expected.norms) < tolerance);
  CHECK(relative_error(found.epoch_sums, expected.epoch_sums) < tolerance);
  CHECK(relative_error(found.weights, expected.weights) < tolerance);
  CHECK(relative_error(found.moments, expected.moments) < tolerance);
  CHECK(found.conflict.defined() == expected.conflict.defined());
  if (found.conflict.defined())
    CHECK(relative_error(found.conflict, expected.conflict) < tolerance);
}

void check_same_bytes(const Trained& found, const Trained& expected) {
  CHECK(same_bytes(found.weights, expected.weights));
  CHECK(same_bytes(found.moments, expected.moments));
  CHECK(found.losses == expected.losses);
  CHECK(found.norms == expected.norms);
  CHECK(found.epoch_sums == expected.epoch_sums);
}

/// The operations of the host thread, each with every argument that is not a tensor and the shapes
/// of those that are: what a CUDA graph would freeze.
std::vector<std::string>& recorded() {
  static std::vector<std::string> operations;
  return operations;
}

/// All digits: two numbers that differ in the last bit have different texts.
std::string exact(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

void describe(std::string& text, const at::IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    text += tensor.defined() ? std::string(at::toString(tensor.scalar_type())) : "undefined";
    if (tensor.defined())
      for (const int64_t size : tensor.sizes()) text += "," + std::to_string(size);
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) describe(text, tensor);
  } else if (value.isDouble()) {
    text += exact(value.toDouble());
  } else if (value.isInt()) {
    text += std::to_string(value.toInt());
  } else if (value.isBool()) {
    text += value.toBool() ? "true" : "false";
  } else if (value.isIntList()) {
    for (const int64_t item : value.toIntVector()) text += "," + std::to_string(item);
  } else if (value.isScalar()) {
    text += exact(value.toScalar().toDouble());
  } else {
    text += value.tagKind();
  }
  text += ' ';
}

std::unique_ptr<at::ObserverContext> record(const at::RecordFunction& function) {
  std::string text = std::string(function.name()) + "(";
  for (const at::IValue& input : function.inputs()) describe(text, input);
  recorded().push_back(text + ")");
  return nullptr;
}

/// A block program with its numbers; where it points to changes from step to step, and a graph has
/// memory of its own.
std::string describe_program(const std::type_info& program, int64_t blocks, const void* bytes,
                             size_t size) {
  std::string text = std::string(program.name()) + " blocks " + std::to_string(blocks);
  if (!kObserverSeesBytes) return text;
  for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, static_cast<const char*>(bytes) + at, std::min(sizeof word, size - at));
    // An address of this process; neither a count of ours nor a double is in its range.
    constexpr uint64_t kLowest = uint64_t{1} << 44, kHighest = uint64_t{1} << 48;
    text += word >= kLowest && word < kHighest ? " address" : " " + std::to_string(word);
  }
  return text;
}

/// A RecordFunction has a member more where NDEBUG is not set, which a LibTorch made for release
/// does not know of.
#ifdef NDEBUG
constexpr bool kRecordsCalls = true;
#else
constexpr bool kRecordsCalls = false;
#endif

bool records_calls() {
  if (!kRecordsCalls) WARN("skipped: LibTorch's calls are recorded in release builds only");
  return kRecordsCalls;
}

class Recording : public GridObserver {
 public:
  Recording() {
    recorded().clear();
    grid_observer() = this;
    if (!kRecordsCalls) return;
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(record).needsInputs(true).scopes(
        {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  }
  ~Recording() override {
    if (kRecordsCalls) at::removeCallback(handle_);
    grid_observer() = nullptr;
  }
  void on_grid(const std::type_info& program, int64_t blocks, const void* bytes,
               size_t size) override {
    recorded().push_back(describe_program(program, blocks, bytes, size));
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

 private:
  at::CallbackHandle handle_ = 0;
};

}  // namespace

TEST_CASE("100 steps of the device form equal 100 ordinary steps") {
  // In float64 both forms round apart by the order of a few additions; 100 steps let that grow.
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  INFO(to_string(variant));
  const Dataset data = tiny_dataset();
  const Trained expected = train(hundred_steps(variant, StepForm::kEager), data, at::kCPU);
  const Trained found = train(hundred_steps(variant, StepForm::kDevice), data, at::kCPU);
  REQUIRE(found.losses.size() == 100);
  check_close(found, expected, 1e-9);
}

TEST_CASE("the device form through the emulated CUDA kernels equals the ordinary step too") {
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline);
  INFO(to_string(variant));
  const Dataset data = tiny_dataset();
  Config config = hundred_steps(variant, StepForm::kDevice);
  config.train.engine = EngineChoice::kEmulated;
  check_close(train(config, data, at::kCPU),
              train(hundred_steps(variant, StepForm::kEager), data, at::kCPU), 1e-9);
}

TEST_CASE("no kernel of a step depends on the order in which a GPU takes its blocks and threads") {
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  const BalanceKind balance = GENERATE(BalanceKind::kSwitch, BalanceKind::kCv2);
  INFO(to_string(variant));
  const Dataset data = tiny_dataset();
  Config config = hundred_steps(variant, StepForm::kDevice);
  config.train.engine = EngineChoice::kEmulated;
  config.train.epochs = 2;
  config.balance.kind = balance;
  const Trained forwards = train(config, data, at::kCPU);
  struct Descending {
    Descending() { emulation_order() = EmulationOrder::kDescending; }
    ~Descending() { emulation_order() = EmulationOrder::kAscending; }
  } const order;
  check_same_bytes(train(config, data, at::kCPU), forwards);
}

TEST_CASE("when the log is read changes nothing, and neither does reading it not at all") {
  const Dataset data = tiny_dataset();
  const Config config = hundred_steps(Variant::kCdsp, StepForm::kDevice);
  const Trained often = train(config, data, at::kCPU, true);
  const Trained once = train(config, data, at::kCPU, false);
  CHECK(same_bytes(often.weights, once.weights));
  CHECK(often.losses.back() == once.losses.back());
}

TEST_CASE("a step of the device form has the same operations and arguments every time") {
  // Host numbers (AdamW's counts, the dropout's place, the batch's) would freeze in a CUDA graph:
  // here every call of a step, and every block program, is recorded with its arguments, and steps
  // of one batch size must not differ: 2 and 3, and 6 and 7, which are of another epoch. Dropout of
  // 0.4 makes them differ in who keeps the task.
  if (!records_calls()) return;
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  const EngineChoice engine = GENERATE(EngineChoice::kReference, EngineChoice::kEmulated);
  INFO(to_string(variant) << ", " << to_string(engine));
  const Dataset data = tiny_dataset();
  Config config = hundred_steps(variant, StepForm::kDevice);
  config.train.engine = engine;
  Trainer trainer(config, data, at::kCPU);
  std::vector<std::vector<std::string>> steps;
  for (int step = 0; step < 7; ++step) {
    const Recording recording;
    trainer.step();
    steps.push_back(recorded());
    if (trainer.at_epoch_end()) trainer.begin_epoch();
  }
  REQUIRE(steps[1].size() > 50);
  CHECK(steps[2] == steps[1]);  // steps 2 and 3
  CHECK(steps[6] == steps[5]);  // steps 6 and 7: the second epoch's
  CHECK(steps[5] == steps[1]);
  for (const std::string& operation : steps[1]) {
    INFO(operation);
    // What reads a number back to the host, or asks how many there are.
    for (const char* waits : {"_local_scalar_dense", "aten::item", "aten::nonzero", "is_nonzero",
                              "aten::equal(", "masked_select", "aten::unique"}) {
      CHECK(operation.find(waits) == std::string::npos);
    }
  }
}

TEST_CASE("a number of the host in a block program shows in the recording") {
  if (!kObserverSeesBytes) {
    WARN("skipped: this compiler cannot clear the bytes between a struct's members");
    return;
  }
  const Dataset data = tiny_dataset();
  const DeviceSplit split = place(data.train, at::kCPU);
  const at::Tensor order = at::tensor({1, 0, 2}, at::kLong), counters = at::zeros({3}, at::kLong);
  const auto recording_of = [&](uint64_t seed, double dropout) {
    RouterConfig config;
    config.task_dropout = dropout;
    const Recording recording;
    make_device_batch(split, order, counters, 2, 3, at::kDouble, config, seed);
    return recorded();
  };
  CHECK(recording_of(7, 0.1) == recording_of(7, 0.1));
  CHECK(recording_of(7, 0.1) != recording_of(8, 0.1));
  CHECK(recording_of(7, 0.1) != recording_of(7, 0.1 + 1e-12));
}

TEST_CASE("the ordinary step is none that could be captured, which the same comparison shows") {
  if (!records_calls()) return;
  const Dataset data = tiny_dataset();
  Trainer trainer(hundred_steps(Variant::kCdsp, StepForm::kEager), data, at::kCPU);
  std::vector<std::vector<std::string>> steps;
  for (int step = 0; step < 3; ++step) {
    const Recording recording;
    trainer.step();
    steps.push_back(recorded());
  }
  CHECK(steps[1] != steps[2]);
}

TEST_CASE("the device form goes on from a checkpoint as if it had not stopped") {
  const Dataset data = tiny_dataset();
  const Config config = hundred_steps(Variant::kCdsp, StepForm::kDevice);
  Trainer whole(config, data, at::kCPU), first(config, data, at::kCPU),
      second(config, data, at::kCPU);
  const TemporaryFolder folder;
  for (int step = 0; step < 6; ++step) first.step();
  first.read_metrics();
  save_checkpoint(first, folder.path());
  load_checkpoint(second, *find_checkpoint(folder.path()));
  for (int step = 0; step < 11; ++step) whole.step();
  for (int step = 6; step < 11; ++step) second.step();
  CHECK(same_bytes(second.network().parameters().flat(), whole.network().parameters().flat()));
  CHECK(second.read_metrics().loss_total == whole.read_metrics().loss_total);
}

TEST_CASE("in the device form nothing moves after a step that is not finite, and reading says so") {
  const Dataset data = tiny_dataset();
  Config config = hundred_steps(Variant::kCdsp, StepForm::kDevice);
  Trainer trainer(config, data, at::kCPU);
  trainer.step();
  at::Tensor weight = parameter_of(trainer.network(), "head.weight").detach();
  weight[0][0] = std::numeric_limits<double>::infinity();
  const at::Tensor before = trainer.network().parameters().flat().clone();
  trainer.step();
  trainer.step();
  CHECK(same_bytes(trainer.network().parameters().flat(), before));
  CHECK_THROWS_AS(trainer.read_metrics(), WorkError);
}

TEST_CASE("a form of the step that is not to be had here is refused, not replaced") {
  CHECK(resolve_step(StepForm::kAuto, at::kCPU) == StepForm::kEager);
  CHECK(resolve_step(StepForm::kDevice, at::kCPU) == StepForm::kDevice);
  CHECK_THROWS_AS(resolve_step(StepForm::kGraph, at::kCPU), InputError);
  const at::Device gpu(at::kCUDA, 0);
  CHECK(resolve_step(StepForm::kEager, gpu) == StepForm::kEager);
  if (StepGraph::is_available()) {
    CHECK(resolve_step(StepForm::kAuto, gpu) == StepForm::kGraph);
  } else {
    CHECK(resolve_step(StepForm::kAuto, gpu) == StepForm::kEager);
    CHECK_THROWS_AS(resolve_step(StepForm::kGraph, gpu), InputError);
    CHECK_THROWS_AS(resolve_step(StepForm::kDevice, gpu), InputError);
  }
}

TEST_CASE("on a GPU a replay of 100 steps equals 100 steps made call by call") {
  if (!has_gpu_and_kernels()) return;
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  const EngineChoice engine = GENERATE(EngineChoice::kFused, EngineChoice::kReference);
  // Unread, a step has only what the last replay left on the device: each look sets its counters.
  const bool look_at_every_step = GENERATE(false, true);
  INFO(to_string(variant) << ", " << to_string(engine) << ", looks " << look_at_every_step);
  const Dataset data = tiny_dataset();
  const at::Device gpu(at::kCUDA, 0);
  Config config = hundred_steps(variant, StepForm::kDevice);
  config.train.engine = engine;
  const Trained eager = train(config, data, gpu, look_at_every_step);
  config.train.step = StepForm::kGraph;
  const Trained replayed = train(config, data, gpu, look_at_every_step);
  CHECK(eager.form == StepForm::kDevice);
  CHECK(replayed.form == StepForm::kGraph);
  check_same_bytes(replayed, eager);
  check_close(replayed,
              train(hundred_steps(variant, StepForm::kEager), data, at::kCPU, look_at_every_step),
              1e-8);
}

TEST_CASE("on a GPU a step of the paper's network is eighty or so pieces of work") {
  // What a step costs that the GPU does not fill: with LibTorch's operations alone they would be
  // four times as many. Counted where they can be.
  if (!has_gpu_and_kernels()) return;
  if (!is_pretend_gpu()) {
    WARN("skipped: only a pretend GPU tells");
    return;
  }
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  INFO(to_string(variant));
  TinyShape shape;
  shape.train = {10, 10, 12};
  shape.rows = shape.cols = 28;
  shape.classes = 10;
  const Dataset data = tiny_dataset(shape);
  Config config;
  config.variant = variant;
  config.train.epochs = StepGraph::kWarmUpSteps + 1;
  config.train.batch_size = 32;
  config.train.step = StepForm::kGraph;
  fill_fresh_memory(false);  // which would be counted
  const Trained trained = train(config, data, at::Device(at::kCUDA, 0), false);
  fill_fresh_memory(true);
  CHECK(trained.form == StepForm::kGraph);
  const size_t nodes = pretend_gpu_nodes_of_last_graph();
  INFO(nodes);
  CHECK(nodes > 50);
  CHECK(nodes <= 90);
}

TEST_CASE("on a GPU a replay of 702 steps of the paper's network equals them made call by call") {
  if (!has_gpu_and_kernels()) return;
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline);
  const Precision precision = GENERATE(Precision::kFull, Precision::kTf32, Precision::kBf16);
  if (precision != Precision::kFull && !has_gpu_with_fewer_bits()) return;
  INFO(to_string(variant) << ", " << to_string(precision));
  TinyShape shape;
  shape.train = {100, 100, 100};  // two batches of 128 images and one of 44
  shape.rows = shape.cols = 28;
  shape.classes = 10;
  const Dataset data = tiny_dataset(shape);
  Config config;
  config.variant = variant;
  // 702 steps: the log of metrics, 512 rows, fills up. A pretend GPU takes half a second for each.
  config.train.epochs = is_pretend_gpu() ? StepGraph::kWarmUpSteps + 2 : 234;
  config.train.batch_size = 128;
  config.train.precision = precision;
  config.train.step = StepForm::kDevice;
  const at::Device gpu(at::kCUDA, 0);
  const Trained eager = train(config, data, gpu, false);
  config.train.step = StepForm::kGraph;
  const Trained replayed = train(config, data, gpu, false);
  CHECK(eager.form == StepForm::kDevice);
  CHECK(replayed.form == StepForm::kGraph);
  check_same_bytes(replayed, eager);
}
