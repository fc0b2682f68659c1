// Under what the paper's published figures were measured.
#pragma once

#include <cstdint>

namespace cdsp {

/// One training of each network by the released code.
struct PublishedConditions {
  const char* labels = "coarse";  // data.labels
  int64_t images_per_task = 60000;
  int64_t epochs = 10;
  int64_t least_steps = 14000, most_steps = 28000;
  int64_t seeds = 1;
};

inline constexpr PublishedConditions kPublishedConditions;

}  // namespace cdsp
