// Files that are whole or not there.
#include "base/atomic_file.h"

#include <filesystem>
#include <iterator>
#include <string>

#include <unistd.h>

#include "base/error.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

std::ptrdiff_t entries_of(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

TEST_CASE("a file holds exactly what was written, zero bytes and line ends included") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a";
  for (const std::string& content : {std::string("one\ntwo\r\n"), std::string(),
                                     std::string("\0\xff\0", 3), std::string(3000000, 'x')}) {
    write_file_atomically(file, content);
    CHECK(read_file(file) == content);
  }
}

TEST_CASE("writing replaces a longer file whole and leaves nothing beside it") {
  const TemporaryFolder folder;
  const fs::path file = folder.write("a", "a long old text");
  write_file_atomically(file, "new");
  CHECK(read_file(file) == "new");
  CHECK(entries_of(folder.path()) == 1);
}

TEST_CASE("a file without a folder in its path is written to the working directory") {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_atomically("plain", "text");
  fs::current_path(before);
  CHECK(read_file(folder.path() / "plain") == "text");
}

TEST_CASE("writing over a folder fails, keeps the folder and removes the file beside it") {
  const TemporaryFolder folder;
  folder.write("taken/inside", "kept");
  const std::string message =
      message_of<WorkError>([&] { write_file_atomically(folder.path() / "taken", "new"); });
  CHECK_THAT(message, ContainsSubstring((folder.path() / "taken").string()));
  CHECK_THAT(message, ContainsSubstring("renaming into place failed"));
  CHECK(read_file(folder.path() / "taken/inside") == "kept");
  CHECK(entries_of(folder.path()) == 1);
}

TEST_CASE("a failed write keeps the old content") {
  // The name of the file beside is the only one that can be made to fail for root as well.
  const TemporaryFolder folder;
  const fs::path file = folder.write("a", "old");
  const std::string beside = "a.partial." + std::to_string(::getpid());
  folder.write(beside + "/blocks", "the name of the file beside");
  const std::string message = message_of<WorkError>([&] { write_file_atomically(file, "new"); });
  CHECK_THAT(message, ContainsSubstring("creating failed"));
  CHECK(read_file(file) == "old");
}

TEST_CASE("writing into a missing folder names the file and the reason") {
  const TemporaryFolder folder;
  const std::string message =
      message_of<WorkError>([&] { write_file_atomically(folder.path() / "missing" / "a", "new"); });
  CHECK_THAT(message, ContainsSubstring((folder.path() / "missing/a").string()));
  CHECK_THAT(message, ContainsSubstring("No such file or directory"));
  CHECK(entries_of(folder.path()) == 0);
}

TEST_CASE("a full disk is reported and leaves no file") {
  if (!fs::exists("/dev/full")) {
    WARN("no /dev/full here: skipped");
    return;
  }
  const TemporaryFolder folder;
  const std::string beside = "a.partial." + std::to_string(::getpid());
  fs::create_symlink("/dev/full", folder.path() / beside);
  const std::string message =
      message_of<WorkError>([&] { write_file_atomically(folder.path() / "a", "new"); });
  CHECK_THAT(message, ContainsSubstring("writing failed: No space left on device"));
  CHECK(entries_of(folder.path()) == 0);
}

TEST_CASE("reading a missing file or a folder says so in one line") {
  const TemporaryFolder folder;
  const fs::path missing = folder.path() / "missing";
  CHECK(message_of<InputError>([&] { read_file(missing); }) == missing.string() + ": no such file");
  CHECK(message_of<InputError>([&] { read_file(folder.path()); }) ==
        folder.path().string() + ": is a folder, a file is needed");
  fs::create_symlink("circle", folder.path() / "circle");
  CHECK(message_of<InputError>([&] { read_file(folder.path() / "circle"); }) ==
        (folder.path() / "circle").string() +
            ": cannot be opened for reading: Too many levels of symbolic links");
}

TEST_CASE("pipes and devices are read to their end, if it comes") {
  CHECK(read_file("/dev/null").empty());
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "one\ntwo", 7) == 7);
  ::close(ends[1]);
  CHECK(read_file("/dev/fd/" + std::to_string(ends[0])) == "one\ntwo");
  ::close(ends[0]);
  CHECK(message_of<InputError>([] { read_file("/dev/zero"); }) ==
        "/dev/zero: gives more than 64 MiB; only an ordinary file may be that long");
}

TEST_CASE("flushing takes files and folders, and reports what is not there") {
  const TemporaryFolder folder;
  CHECK_NOTHROW(sync_path(folder.write("a", "text")));
  CHECK_NOTHROW(sync_path(folder.path()));
  CHECK_THROWS_AS(sync_path(folder.path() / "missing"), WorkError);
}
