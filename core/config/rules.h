// The rules that tie keys together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

/// A broken rule: the keys it ties together, the one to name first, and "found ...; allowed: ...".
struct BrokenRule {
  std::vector<std::string> keys;
  std::string message;
};

/// The first rule that the config breaks, a key's own range included.
std::optional<BrokenRule> first_broken_rule(const Config& config);

}  // namespace cdsp
