// "Did you mean": the keys and sections nearest to a name that is none.
#pragma once

#include <string>

namespace cdsp {

/// Edits (insert, delete, replace, swap of neighbours) between two words, upper and lower case
/// alike.
int edit_distance(const std::string& a, const std::string& b);

/// A sentence on a dotted name that is no key: the keys it may mean, else the names that its place
/// allows.
std::string unknown_key(const std::string& name);

/// The keys of a section ("" = what may stand at the top level), for messages.
std::string names_in(const std::string& section);

}  // namespace cdsp
