// Who may write a run's folder, and what stands in it afterwards.
#include "experiment/run_directory.h"

#include <optional>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Mode = RunDirectory::Mode;

/// The one line that taking the folder fails with.
std::string refusal(const fs::path& path, Mode mode) {
  return message_of<InputError>([&] { const RunDirectory directory(path, mode); });
}

}  // namespace

TEST_CASE("a folder serves one process at a time", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "some" / "run";
  std::optional<RunDirectory> first;
  first.emplace(run, Mode::kNew);
  CHECK_THAT(refusal(run, Mode::kNew), ContainsSubstring("another cdsp is at work"));
  first->keep();
  first.reset();
  CHECK_FALSE(fs::exists(run / ".lock"));
  CHECK(refusal(run, Mode::kNew).empty());
}

TEST_CASE("a folder that holds something is not taken for a new run", "[experiment]") {
  const TemporaryFolder folder;
  folder.write("run/notes.txt", "mine");
  const fs::path run = folder.path() / "run";
  CHECK_THAT(refusal(run, Mode::kNew), ContainsSubstring("is not empty"));
  CHECK_THAT(refusal(run, Mode::kResume), ContainsSubstring("holds no run to resume"));
  CHECK_THAT(refusal(run / "notes.txt", Mode::kNew), ContainsSubstring("is a file"));
  CHECK(read_file(run / "notes.txt") == "mine");
  CHECK_FALSE(fs::exists(run / ".lock"));
}

TEST_CASE("a lock file that a killed process left is no run", "[experiment]") {
  const TemporaryFolder folder;
  folder.write("run/.lock", "");
  CHECK(refusal(folder.path() / "run", Mode::kNew).empty());
}

TEST_CASE("a run that never began leaves nothing", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path made = folder.path() / "made", found = folder.path() / "found";
  fs::create_directory(found);
  for (const fs::path& run : {made, found}) {
    const RunDirectory directory(run, Mode::kNew);
    write_file_atomically(directory.file("config.yaml"), "seed: 1\n");
    directory.folder("routing");
  }
  CHECK_FALSE(fs::exists(made));
  CHECK(fs::is_empty(found));
}

TEST_CASE("folders made on the way to a run that never began go with it", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path found = folder.path() / "found", run = found / "out" / "cdsp" / "seed_0";
  fs::create_directory(found);
  { const RunDirectory directory(run, Mode::kNew); }
  CHECK(fs::is_empty(found));
  // A folder in which something else has come to live stays, and what it stands in.
  {
    const RunDirectory directory(run / "", Mode::kNew);
    folder.write("found/out/notes.txt", "mine");
  }
  CHECK_FALSE(fs::exists(found / "out" / "cdsp"));
  CHECK(read_file(found / "out" / "notes.txt") == "mine");
  // A run that is kept keeps them all.
  {
    RunDirectory directory(run, Mode::kNew);
    directory.keep();
  }
  CHECK(fs::is_directory(run));
  CHECK_THAT(refusal(found / "out" / "notes.txt" / "run", Mode::kNew),
             ContainsSubstring("cannot be created"));
}

TEST_CASE("a folder is looked at before it is used again", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  Config config = tiny_config();
  CHECK(inspect_run(run, config, "data") == RunState::kAbsent);

  const auto write = [&](const std::string& status) {
    RunDirectory directory(run, fs::exists(run / "config.yaml") ? Mode::kResume : Mode::kNew);
    directory.keep();
    write_file_atomically(directory.file("config.yaml"), to_yaml(config));
    RunRecord record;
    record.status = status;
    record.data_fingerprint = "data";
    write_run_record(directory, config, record);
  };
  write("interrupted");
  CHECK(inspect_run(run, config, "data") == RunState::kUnfinished);
  write("finished");
  CHECK(inspect_run(run, config, "data") == RunState::kFinished);
  fs::remove(run / "run.json");
  CHECK(inspect_run(run, config, "data") == RunState::kUnfinished);
  write("finished");

  Config other = config;
  other.train.threads = 7;  // changes speed only
  CHECK(inspect_run(run, other, "data") == RunState::kFinished);
  other.moe.top_k = 1;
  CHECK_THAT(message_of<InputError>([&] { inspect_run(run, other, "data"); }),
             ContainsSubstring("moe.top_k: 2, this one wants 1"));
  CHECK_THAT(message_of<InputError>([&] { inspect_run(run, config, "other data"); }),
             ContainsSubstring("other data"));

  write_file_atomically(run / "run.json", "[]");
  CHECK_THAT(message_of<InputError>([&] { inspect_run(run, config, "data"); }),
             ContainsSubstring("is not a run record"));
}
