// What a config is refused with.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"

namespace cdsp::test {

/// The message that parsing `yaml` as file x.yaml ends with, "" if it is valid.
inline std::string error_of(const std::string& yaml,
                            const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(yaml, "x.yaml", overrides);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

/// The same for a valid config with this override.
inline std::string override_error(const std::string& override_text) {
  return error_of("seed: 1\n", {override_text});
}

/// A file's text and the message it is refused with.
struct BadConfig {
  std::string yaml;
  std::string message;
};

}  // namespace cdsp::test
