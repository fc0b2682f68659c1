// How long and on what the runs of a comparison were trained, and how that compares with the
// published trainings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cdsp {

struct TrainingFacts {
  std::string labels;  // data.labels; empty if unknown
  std::vector<std::string> tasks;
  std::vector<double> train_images, test_images;  // of each task; empty if unknown
  std::vector<int64_t> steps, epochs;             // of each arm; empty if unknown
  size_t seeds = 0;
};

/// "1,850"
std::string grouped(int64_t number);
/// "1,850", or "1,850 to 3,700" where arms differ; empty if unknown.
std::string range_in_words(const std::vector<int64_t>& of_arms);
/// "7,876 a task", or "mnist 400, kmnist 300" where tasks differ; empty if unknown.
std::string images_in_words(const std::vector<std::string>& tasks,
                            const std::vector<double>& images);
/// What stands in the way of reading the published figures beside these.
std::string published_caveat(const TrainingFacts& facts);

}  // namespace cdsp
