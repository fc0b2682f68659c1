// Who made the runs, and who the tables.
#include "experiment/provenance.h"

#include "support/catch.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;

ComparedRun run_of(const std::string& arm, uint64_t seed, const std::string& commit,
                   const std::string& engine = "fused") {
  ComparedRun run;
  run.arm = arm;
  run.seed = seed;
  run.maker = {"0.1.0", commit, "1.13.0", "cpu", engine};
  return run;
}

std::string value_of(const std::vector<std::pair<std::string, std::string>>& provenance,
                     const std::string& name) {
  for (const auto& [key, value] : provenance) {
    if (key == name) return value;
  }
  return "not there";
}

}  // namespace

TEST_CASE("provenance tells the tables' program from the runs'", "[experiment]") {
  const std::vector<ComparedRun> runs = {run_of("baseline", 0, "aaa"), run_of("cdsp", 0, "bbb"),
                                         run_of("cdsp", 1, "aaa")};
  const auto provenance = provenance_of("data", runs);
  CHECK(value_of(provenance, "data_fingerprint") == "data");
  CHECK(value_of(provenance, "tables_made_by_commit") == this_program().commit);
  CHECK(value_of(provenance, "tables_made_by_libtorch") == this_program().libtorch);
  CHECK(value_of(provenance, "runs_made_by_commit") ==
        "aaa (baseline seed 0, cdsp seed 1); bbb (cdsp seed 0)");
  CHECK(value_of(provenance, "runs_made_by_libtorch") == "1.13.0");
  CHECK(value_of(provenance, "commit") == "not there");
}

TEST_CASE("other commits and engines are told of, unknown engines are not", "[experiment]") {
  const auto notes = [](const ComparedRun& other) {
    return notes_on_makers({run_of("cdsp", 0, "aaa"), other});
  };
  CHECK(notes(run_of("cdsp", 1, "aaa")).empty());
  CHECK(notes(run_of("cdsp", 1, "aaa", "")).empty());
  CHECK(notes(run_of("cdsp", 1, "bbb")) ==
        std::vector<std::string>{
            "The runs were made by different commits: aaa (cdsp seed 0); bbb (cdsp seed 1)."});
  CHECK(notes(run_of("cdsp", 1, "aaa", "reference")).size() == 1);
  CHECK(notes(run_of("cdsp", 1, "bbb", "reference")).size() == 2);
}

TEST_CASE("a plan tells of other commits as its runs will, those still to do being this program's",
          "[experiment]") {
  const auto planned = [](uint64_t seed, RunState state, const std::string& commit) {
    PlannedRun run;
    run.arm = "cdsp";
    run.config.seed = seed;
    run.state = state;
    if (state != RunState::kAbsent) run.maker = RunMaker{"0.1.0", commit, "1.13.0", "cpu", "fused"};
    return run;
  };
  const PlannedRun absent = planned(0, RunState::kAbsent, ""),
                   begun = planned(1, RunState::kUnfinished, "aaa"),
                   finished = planned(2, RunState::kFinished, "aaa"),
                   own = planned(3, RunState::kFinished, this_program().commit);
  using Runs = std::vector<PlannedRun>;
  CHECK(notes_on_makers(Runs{absent, begun, own}).empty());
  CHECK(notes_on_makers(Runs{finished}).empty());
  CHECK(
      notes_on_makers(Runs{absent, begun, finished}) ==
      std::vector<std::string>{"The runs were made by different commits: " + this_program().commit +
                               " (cdsp seed 0, cdsp seed 1); aaa (cdsp seed 2)."});
}

TEST_CASE("runs that are not part of the tables are named", "[experiment]") {
  const TemporaryFolder folder;
  for (const char* run : {"cdsp/seed_0", "cdsp/seed_7", "old/seed_0"})
    folder.write(std::string(run) + "/config.yaml", "");
  folder.write("experiments/1_emergent_modularity/experiment.json", "{}");
  std::vector<ComparedRun> runs = {run_of("cdsp", 0, "aaa")};
  runs[0].folder = folder.path() / "cdsp" / "seed_0";
  CHECK(notes_on_other_runs(runs, folder.path()) ==
        std::vector<std::string>{
            "The folder also holds runs that are not part of this: cdsp/seed_7, old/seed_0."});
  fs::remove_all(folder.path() / "cdsp" / "seed_7");
  fs::remove_all(folder.path() / "old");
  CHECK(notes_on_other_runs(runs, folder.path()).empty());
}
