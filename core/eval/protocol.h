// What the router is told of an image's task at test time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cdsp {

/// informed: the true task; blind: the zero vector; forced-K: task K for every image.
struct Protocol {
  enum class Kind { kInformed, kBlind, kForced };
  Kind kind = Kind::kInformed;
  int64_t forced_task = 0;

  std::string name() const;
};

/// "informed", "blind", "forced-K" with K in 0..tasks-1. Throws InputError naming what is allowed.
Protocol parse_protocol(const std::string& text, int64_t tasks);

/// informed, blind, forced-0 ... forced-(tasks-1).
std::vector<Protocol> all_protocols(int64_t tasks);

}  // namespace cdsp
