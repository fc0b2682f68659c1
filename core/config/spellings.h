// How the enums of config.h are spelled in YAML, on the command line and in reports: one table for
// each.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

template <class Enum>
struct Spelling {
  Enum value;
  const char* text;
};

/// Every value of the enum with its spelling, in the order in which messages and the schema list
/// them.
template <class Enum>
const std::vector<Spelling<Enum>>& spellings();

}  // namespace cdsp
