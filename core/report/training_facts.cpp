#include "report/training_facts.h"

#include <algorithm>
#include <cmath>

#include "experiment/published_conditions.h"

namespace cdsp {
namespace {

std::string or_unknown(const std::string& text) { return text.empty() ? "unknown" : text; }

bool as_published(const TrainingFacts& facts) {
  const PublishedConditions& published = kPublishedConditions;
  const auto within = [&](int64_t steps) {
    return steps >= published.least_steps && steps <= published.most_steps;
  };
  return facts.labels == published.labels && !facts.steps.empty() && !facts.train_images.empty() &&
         std::all_of(facts.steps.begin(), facts.steps.end(), within) &&
         std::all_of(facts.train_images.begin(), facts.train_images.end(), [&](double images) {
           return images == static_cast<double>(published.images_per_task);
         });
}

}  // namespace

std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  const int64_t first = number < 0 ? 1 : 0;
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > first; at -= 3) {
    text.insert(static_cast<size_t>(at), ",");
  }
  return text;
}

std::string range_in_words(const std::vector<int64_t>& of_arms) {
  if (of_arms.empty()) return "";
  const auto [least, most] = std::minmax_element(of_arms.begin(), of_arms.end());
  return *least == *most ? grouped(*least) : grouped(*least) + " to " + grouped(*most);
}

std::string images_in_words(const std::vector<std::string>& tasks,
                            const std::vector<double>& images) {
  if (images.empty()) return "";
  const auto number = [](double count) { return grouped(std::llround(count)); };
  if (std::all_of(images.begin(), images.end(), [&](double n) { return n == images.front(); })) {
    return number(images.front()) + " a task";
  }
  std::string text;
  for (size_t task = 0; task < images.size() && task < tasks.size(); ++task) {
    text += (task == 0 ? "" : ", ") + tasks[task] + " " + number(images[task]);
  }
  return text;
}

std::string published_caveat(const TrainingFacts& facts) {
  const PublishedConditions& published = kPublishedConditions;
  const std::string here = or_unknown(facts.labels) + " labels, training images " +
                           or_unknown(images_in_words(facts.tasks, facts.train_images)) +
                           ", optimiser steps " + or_unknown(range_in_words(facts.steps)) + ", " +
                           std::to_string(facts.seeds) + (facts.seeds == 1 ? " seed" : " seeds");
  return std::string("Published: ") + published.labels +
         " labels (MNIST's digits, KMNIST's label " + "mod 2, Fashion-MNIST's label ≥ 5), " +
         grouped(published.images_per_task) + " training images a task, " +
         grouped(published.least_steps) + " to " + grouped(published.most_steps) +
         " optimiser steps, one seed; a training figure. Here: " + here + ". " +
         (as_published(facts) ? "A difference within the spread over seeds says nothing."
                              : "The two columns do not measure the same: no difference between "
                                "them is evidence for or against the paper.");
}

}  // namespace cdsp
