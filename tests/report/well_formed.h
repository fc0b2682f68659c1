// Whether a text is XML that nests.
#pragma once

#include <string>

namespace cdsp::test {

/// Every opened element is closed in turn; text and attributes hold no bare < or &.
bool is_well_formed(const std::string& xml);

}  // namespace cdsp::test
