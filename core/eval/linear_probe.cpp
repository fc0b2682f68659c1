#include "eval/linear_probe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "base/error.h"
#include "base/random.h"

namespace cdsp {
namespace {

constexpr int64_t kBatchSize = 128;
constexpr double kLearningRate = 3.0e-3;  // at the start; falls linearly to 0
constexpr double kWeightDecay = 0.1;      // decoupled: per step, times the learning rate
constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1.0e-8;

/// The classes of one pixel lie side by side, padded with zeros to full vector registers: the inner
/// loops run over them, so they need no reordering of sums and give the same bits with and without
/// vector instructions.
constexpr int64_t kLanes = 8;

int64_t padded(int64_t classes) { return (classes + kLanes - 1) / kLanes * kLanes; }

class SoftmaxRegression {
 public:
  SoftmaxRegression(int64_t features, int64_t classes)
      : features_(features),
        classes_(classes),
        width_(padded(classes)),
        weights_(static_cast<size_t>((features + 1) * width_)),
        gradient_(weights_.size()),
        mean_(weights_.size()),
        square_(weights_.size()),
        pixels_(static_cast<size_t>(features)),
        scores_(static_cast<size_t>(width_)) {
    for (size_t byte = 0; byte < scaled_.size(); ++byte)
      scaled_[byte] = static_cast<float>(byte) / 127.5f - 1.0f;
  }

  int64_t predict(const uint8_t* image) {
    score(image);
    return std::max_element(scores_.begin(), scores_.begin() + classes_) - scores_.begin();
  }

  /// Adds one image's gradient of the cross entropy.
  void accumulate(const uint8_t* image, int64_t label) {
    score(image);
    const float highest = *std::max_element(scores_.begin(), scores_.begin() + classes_);
    float total = 0.0f;
    for (int64_t c = 0; c < classes_; ++c) {
      scores_[static_cast<size_t>(c)] = std::exp(scores_[static_cast<size_t>(c)] - highest);
      total += scores_[static_cast<size_t>(c)];
    }
    for (int64_t c = 0; c < width_; ++c) {
      float& slope = scores_[static_cast<size_t>(c)];
      slope = c < classes_ ? slope / total - (c == label ? 1.0f : 0.0f) : 0.0f;
    }
    for (int64_t p = 0; p < features_; ++p) add_to(gradient_, p, pixels_[static_cast<size_t>(p)]);
    add_to(gradient_, features_, 1.0f);
  }

  /// One AdamW step on the mean gradient of `images` images; the bias does not decay.
  void step(int64_t images, double learning_rate) {
    ++steps_;
    const double correction1 = 1.0 - std::pow(kBeta1, static_cast<double>(steps_));
    const double correction2 = 1.0 - std::pow(kBeta2, static_cast<double>(steps_));
    const auto rate = static_cast<float>(learning_rate / correction1);
    const auto keep = static_cast<float>(1.0 - learning_rate * kWeightDecay);
    const auto root_scale = static_cast<float>(1.0 / std::sqrt(correction2));
    const float share = 1.0f / static_cast<float>(images);
    const size_t first_bias = weights_.size() - static_cast<size_t>(width_);
    for (size_t i = 0; i < first_bias; ++i) weights_[i] *= keep;
    for (size_t i = 0; i < weights_.size(); ++i) {
      const float slope = gradient_[i] * share;
      mean_[i] += static_cast<float>(1.0 - kBeta1) * (slope - mean_[i]);
      square_[i] += static_cast<float>(1.0 - kBeta2) * (slope * slope - square_[i]);
      weights_[i] -=
          rate * mean_[i] / (std::sqrt(square_[i]) * root_scale + static_cast<float>(kEpsilon));
      gradient_[i] = 0.0f;
    }
  }

 private:
  void score(const uint8_t* image) {
    const float* bias = &weights_[static_cast<size_t>(features_ * width_)];
    std::copy(bias, bias + width_, scores_.begin());
    float* scores = scores_.data();
    for (int64_t p = 0; p < features_; ++p) {
      const float pixel = scaled_[image[p]];
      pixels_[static_cast<size_t>(p)] = pixel;
      const float* weights = &weights_[static_cast<size_t>(p * width_)];
      for (int64_t c = 0; c < width_; ++c) scores[c] += pixel * weights[c];
    }
  }

  void add_to(std::vector<float>& rows, int64_t row, float factor) {
    float* target = &rows[static_cast<size_t>(row * width_)];
    const float* slopes = scores_.data();
    for (int64_t c = 0; c < width_; ++c) target[c] += factor * slopes[c];
  }

  int64_t features_, classes_, width_, steps_ = 0;
  std::vector<float> weights_;  // [features + 1, width]; the last row is the bias
  std::vector<float> gradient_, mean_, square_;
  std::vector<float> pixels_;  // the scored image, scaled
  std::vector<float> scores_;  // logits, then their gradient
  std::array<float, 256> scaled_{};
};

/// The images of one task within a split.
struct TaskView {
  const uint8_t* pixels;
  const uint8_t* labels;
  int64_t count;
  int64_t features;

  TaskView(const Split& split, int64_t task)
      : count(split.task_size(task)), features(split.rows * split.cols) {
    const int64_t first = split.task_offsets[static_cast<size_t>(task)];
    pixels = split.pixels.data() + first * features;
    labels = split.labels.data() + first;
  }
};

double accuracy(SoftmaxRegression& model, const TaskView& view) {
  int64_t right = 0;
  for (int64_t i = 0; i < view.count; ++i) {
    right += model.predict(view.pixels + i * view.features) == view.labels[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(view.count);
}

/// `tell` is called with the share of this task's training that is done.
void train(SoftmaxRegression& model, const TaskView& view, int64_t epochs, RandomStream& stream,
           const std::function<void(double)>& tell) {
  const int64_t steps_per_epoch = (view.count + kBatchSize - 1) / kBatchSize;
  const double steps = static_cast<double>(epochs * steps_per_epoch);
  const int64_t steps_between_tells = std::max<int64_t>(1, epochs * steps_per_epoch / 100);
  int64_t done = 0;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    const std::vector<int64_t> order = stream.permutation(view.count);
    for (int64_t first = 0; first < view.count; first += kBatchSize) {
      const int64_t last = std::min(view.count, first + kBatchSize);
      for (int64_t i = first; i < last; ++i) {
        const int64_t sample = order[static_cast<size_t>(i)];
        model.accumulate(view.pixels + sample * view.features, view.labels[sample]);
      }
      model.step(last - first, kLearningRate * (1.0 - static_cast<double>(done++) / steps));
      if (done % steps_between_tells == 0) tell(static_cast<double>(done) / steps);
    }
  }
}

}  // namespace

LinearProbeResult linear_probe(const Dataset& dataset, int64_t classes, int64_t epochs,
                               uint64_t seed, const std::function<bool(double share)>& keep_going) {
  if (classes < 1 || epochs < 1) {
    throw InputError("linear probe: classes = " + std::to_string(classes) +
                     " and epochs = " + std::to_string(epochs) + " must both be at least 1");
  }
  LinearProbeResult result;
  for (int64_t task = 0; task < dataset.train.tasks(); ++task) {
    const TaskView train_view(dataset.train, task), test_view(dataset.test, task);
    if (train_view.count == 0 || test_view.count == 0) {
      throw InputError("linear probe: task " + dataset.task_names[static_cast<size_t>(task)] +
                       " has no images");
    }
    SoftmaxRegression model(train_view.features, classes);
    RandomStream stream(seed, RandomPurpose::kLinearProbe, static_cast<uint64_t>(task));
    train(model, train_view, epochs, stream, [&](double share) {
      const double done = static_cast<double>(task) + share;
      if (keep_going && !keep_going(done / static_cast<double>(dataset.train.tasks())))
        throw WorkError("linear probe interrupted");
    });
    result.test_accuracy.push_back(accuracy(model, test_view));
    result.train_accuracy.push_back(accuracy(model, train_view));
  }
  return result;
}

}  // namespace cdsp
