#include "base/failure.h"

#include <filesystem>
#include <new>

#include "base/error.h"

namespace cdsp {
namespace {

/// LibTorch's allocators say it in their own words.
bool tells_of_memory(const std::exception& error) {
  const std::string message = error.what();
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         message.find("DefaultCPUAllocator") != std::string::npos ||
         message.find("CUDA out of memory") != std::string::npos;
}

/// A path that is not as it should be can be put right by whoever named it; a disk that fails
/// cannot.
bool is_mistake(const std::error_code& code) {
  for (const std::errc mistake :
       {std::errc::no_such_file_or_directory, std::errc::not_a_directory, std::errc::is_a_directory,
        std::errc::permission_denied, std::errc::operation_not_permitted,
        std::errc::too_many_symbolic_link_levels, std::errc::filename_too_long}) {
    if (code == mistake) return true;
  }
  return false;
}

}  // namespace

Failure failure_of(const std::exception& error) {
  const std::string message = error.what();
  if (dynamic_cast<const InputError*>(&error) != nullptr) return {message, kExitBadInput};
  if (dynamic_cast<const WorkError*>(&error) != nullptr) return {message, kExitFailedAtWork};
  if (const auto* of_path = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    const std::string path = of_path->path1().string();
    return {(path.empty() ? "" : path + ": ") + of_path->code().message(),
            is_mistake(of_path->code()) ? kExitBadInput : kExitFailedAtWork};
  }
  if (tells_of_memory(error)) return {"out of memory", kExitFailedAtWork};
  return {message.substr(0, message.find('\n')), kExitFailedAtWork};
}

}  // namespace cdsp
