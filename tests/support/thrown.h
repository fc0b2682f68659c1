// The one line an operation fails with.
#pragma once

#include <string>

namespace cdsp::test {

/// The message of the Error that `work` throws, "" if it throws nothing. Other exceptions pass.
template <class Error, class Work>
std::string message_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace cdsp::test
