// Exceptions as a user meets them.
#include "base/failure.h"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "base/error.h"
#include "support/catch.h"

using namespace cdsp;
namespace fs = std::filesystem;

namespace {

void check_failure(const std::exception& error, const std::string& message, int exit_code) {
  const Failure failure = failure_of(error);
  CHECK(failure.message == message);
  CHECK(failure.exit_code == exit_code);
}

}  // namespace

TEST_CASE("our own errors are told in their own words") {
  check_failure(InputError("a.yaml: is empty"), "a.yaml: is empty", kExitBadInput);
  check_failure(WorkError("step 3: the loss is nan"), "step 3: the loss is nan", kExitFailedAtWork);
}

TEST_CASE(
    "a path that cannot be looked at is told with the reason, and is a mistake in the input") {
  const auto denied = std::make_error_code(std::errc::permission_denied);
  check_failure(fs::filesystem_error("status", "runs/a/run.json", denied),
                "runs/a/run.json: Permission denied", kExitBadInput);
  check_failure(fs::filesystem_error("directory iterator cannot advance", denied),
                "Permission denied", kExitBadInput);
}

TEST_CASE("a disk that fails is no mistake in the input") {
  check_failure(fs::filesystem_error("status", "runs/a", std::make_error_code(std::errc::io_error)),
                "runs/a: Input/output error", kExitFailedAtWork);
  check_failure(
      fs::filesystem_error("rename", "runs/a", std::make_error_code(std::errc::no_space_on_device)),
      "runs/a: No space left on device", kExitFailedAtWork);
}

TEST_CASE("memory that is not there is told as such, of the rest the first line") {
  check_failure(std::bad_alloc(), "out of memory", kExitFailedAtWork);
  check_failure(std::runtime_error("[enforce fail] DefaultCPUAllocator: can't allocate\nframe #0"),
                "out of memory", kExitFailedAtWork);
  check_failure(std::runtime_error("CUDA out of memory. Tried to allocate"), "out of memory",
                kExitFailedAtWork);
  check_failure(std::runtime_error("shapes differ\nframe #0: main"), "shapes differ",
                kExitFailedAtWork);
}
