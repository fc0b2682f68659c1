// Which runs there are, and what is to be done for each.
#include "experiment/run_plan.h"

#include <limits>
#include <tuple>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/catch.h"
#include "support/thrown.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;

/// Two arms of the same data; 15 steps an epoch, two epochs.
RunRequest request_in(const fs::path& out) {
  const Config cdsp = parse_config(tiny_yaml("cdsp"), "cdsp.yaml");
  Config control = cdsp;
  control.conflict.lambda = 0;
  return {{{"cdsp", "cdsp.yaml", cdsp}, {"control", "control.yaml", control}}, {0, 4}, out, {}};
}

/// A folder that says it holds a run of that arm.
void write_run(const fs::path& folder, Config config, uint64_t seed, const std::string& status) {
  config.seed = seed;
  RunDirectory directory(folder, RunDirectory::Mode::kNew);
  directory.keep();
  write_file_atomically(directory.file("config.yaml"), to_yaml(config));
  RunRecord record;
  record.status = status;
  record.steps = status == "finished" ? 30 : 15;
  record.wall_seconds = 60;
  record.device = "cpu";
  record.data_fingerprint = load_dataset(config).fingerprint;
  write_run_record(directory, config, record);
}

std::string refusal(const RunRequest& request) {
  return message_of<InputError>([&] { plan_runs(request); });
}

}  // namespace

TEST_CASE("seeds are numbers and ranges", "[experiment]") {
  CHECK(parse_seeds("7") == std::vector<uint64_t>{7});
  CHECK(parse_seeds("3,0,5..7") == std::vector<uint64_t>{3, 0, 5, 6, 7});
  const uint64_t largest = std::numeric_limits<uint64_t>::max();
  CHECK(parse_seeds("18446744073709551614..18446744073709551615") ==
        std::vector<uint64_t>{largest - 1, largest});
  CHECK(parse_seeds("0..9999").size() == 10000);
  for (const char* text : {"", ",", "1,", ",1", "1..", "..2", "3..1", "-1", "1.5", "one", "1 2",
                           "0..10000", "18446744073709551616", "1,0..2"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_seeds(text), InputError);
  }
  CHECK_THAT(message_of<InputError>([] { parse_seeds("0..10000"); }),
             ContainsSubstring("numbers from 0 to 18446744073709551615 and ranges of at most 10000 "
                               "seeds, as in 0,3,5..9"));
}

TEST_CASE("a plan says what is to be done for every run", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "out";
  const RunRequest request = request_in(out);
  const RunPlan empty = plan_runs(request);
  CHECK_FALSE(fs::exists(out));
  REQUIRE(empty.runs.size() == 4);
  for (const PlannedRun& run : empty.runs) {
    CHECK(run.action() == std::string("train"));
    CHECK(run.total_steps == 30);
  }
  CHECK(empty.runs[3].folder == out / "control" / "seed_4");
  CHECK(empty.runs[3].config.seed == 4);
  CHECK(empty.runs[3].name() == "control seed 4");
  CHECK_FALSE(estimated_seconds(empty.runs, 1));

  write_run(out / "cdsp" / "seed_0", request.arms[0].config, 0, "finished");
  write_run(out / "control" / "seed_0", request.arms[1].config, 0, "interrupted");
  const RunPlan half = plan_runs(request);
  CHECK(half.runs[0].action() == std::string("evaluate"));
  CHECK(half.runs[1].action() == std::string("train"));
  CHECK(half.runs[2].action() == std::string("continue"));
  CHECK(half.runs[2].steps_done == 15);
  // 2 s a step of cdsp, 4 s of control: 60 s for the one, 60 and 120 s for the two others. Then 60
  // test images told and not told, each a third of what it costs in a step of 8: 5 steps a run.
  CHECK(*seconds_per_step(half.runs, "cdsp") == 2.0);
  CHECK(*seconds_per_step(half.runs, "control") == 4.0);
  CHECK(*estimated_seconds(half.runs, 1) == Approx(240.0 + 2 * 10.0 + 2 * 20.0));
  CHECK(*estimated_seconds(half.runs, 2) == Approx(150.0));
  CHECK(*estimated_seconds(half.runs, 100) == Approx(140.0));  // a run is not shared
  CHECK(*estimated_seconds(half.runs, 1, 7.0) == Approx(240.0 + 4 * 7.0));
}

TEST_CASE("a pace is told by the steps alone, and not too early", "[experiment]") {
  PlannedRun run;
  CHECK_FALSE(pace_seen(run, 50, 100, 19.0));
  CHECK_FALSE(pace_seen(run, 50, 50, 60.0));
  CHECK(*pace_seen(run, 50, 100, 25.0) == 0.5);
  // An evaluation is worth ten steps and comes after every hundred.
  run.steps_per_epoch = 100;
  run.evaluation_steps = 10;
  CHECK(*pace_seen(run, 0, 50, 50.0) == Approx(1.1));    // none seen yet
  CHECK(*pace_seen(run, 0, 100, 110.0) == Approx(1.1));  // one seen
  CHECK(*pace_seen(run, 90, 110, 30.0) == Approx(1.1));
}

TEST_CASE("runs of different versions and devices are never mixed", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "out";
  RunRequest request = request_in(out);
  request.seeds = {0};
  const auto write_both = [&](const std::string& found, const std::string& put) {
    fs::remove_all(out);
    for (const SuiteArm& arm : request.arms)
      write_run(out / arm.name / "seed_0", arm.config, 0, "finished");
    std::string text = read_file(out / "control" / "seed_0" / "run.json");
    const size_t place = text.find(found);
    REQUIRE(place != std::string::npos);
    const size_t end = text.find('\n', place);
    text.replace(place, end - place, put + (text[end - 1] == ',' ? "," : ""));
    write_file_atomically(out / "control" / "seed_0" / "run.json", text);
  };
  const std::string control = (out / "control" / "seed_0").string();
  for (const auto& [found, put, said] :
       {std::tuple("\"cdsp\": ", "\"cdsp\": \"9.9.9\"", "by cdsp 9.9.9"),
        std::tuple("\"libtorch\": ", "\"libtorch\": \"2.9.0\"", "with LibTorch 2.9.0"),
        std::tuple("\"device\": ", "\"device\": \"cuda:0\"", "on cuda")}) {
    CAPTURE(said);
    write_both(found, put);
    const std::string message = refusal(request);
    CHECK_THAT(message, ContainsSubstring(control + " holds a run " + said));
    CHECK_THAT(message, ContainsSubstring((out / "cdsp" / "seed_0").string() + " holds a run"));
    // Alone it is no mixture; with a run that is still to be trained here it is.
    RunRequest alone = request;
    alone.arms = {request.arms[1]};
    CHECK_NOTHROW(plan_runs(alone));
    alone.seeds = {0, 1};
    CHECK_THAT(refusal(alone), ContainsSubstring("control seed 1 is to be trained"));
  }
  // Another commit of the same version is no other program.
  write_both("\"git_commit\": ", "\"git_commit\": \"deadbeef0000\"");
  CHECK(plan_runs(request).runs[1].maker->commit == "deadbeef0000");
}

TEST_CASE("max_steps bounds a plan", "[experiment]") {
  const TemporaryFolder folder;
  RunRequest request = request_in(folder.path() / "out");
  for (SuiteArm& arm : request.arms) arm.config.train.max_steps = 20;
  CHECK(plan_runs(request).runs[0].total_steps == 20);
}

TEST_CASE("a run of another config in the way is an error", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "out";
  const RunRequest request = request_in(out);
  Config other = request.arms[1].config;
  other.optimizer.lr = 0.5;
  write_run(out / "control" / "seed_4", other, 4, "finished");
  const std::string message = refusal(request);
  CHECK_THAT(message, ContainsSubstring((out / "control" / "seed_4").string()));
  CHECK_THAT(message, ContainsSubstring("optimizer.lr: 0.5, this one wants 0.005"));
}

TEST_CASE("finished runs elsewhere are used", "[experiment]") {
  const TemporaryFolder folder;
  RunRequest request = request_in(folder.path() / "out");
  const fs::path old = folder.path() / "old";
  write_run(old / "cdsp" / "seed_0", request.arms[0].config, 0, "finished");
  write_run(old / "control" / "seed_4", request.arms[1].config, 4, "interrupted");
  write_run(old / "gone" / "seed_9", request.arms[1].config, 9, "finished");
  write_run(folder.path() / "alone", request.arms[1].config, 0, "finished");

  request.from = {old, folder.path() / "alone"};
  const RunPlan plan = plan_runs(request);
  CHECK(plan.runs[0].folder == old / "cdsp" / "seed_0");
  CHECK(plan.runs[0].state == RunState::kFinished);
  CHECK(plan.runs[2].folder == folder.path() / "alone");
  CHECK(plan.runs[3].folder == request.out / "control" / "seed_4");  // that one is not finished
  CHECK(plan.runs[3].action() == std::string("train"));
}

TEST_CASE("runs given that do not fit are an error", "[experiment]") {
  const TemporaryFolder folder;
  RunRequest request = request_in(folder.path() / "out");
  const auto refusal_from = [&](const fs::path& from) {
    request.from = {from};
    return refusal(request);
  };
  Config other = request.arms[0].config;
  other.train.epochs = 5;
  write_run(folder.path() / "old" / "cdsp" / "seed_0", other, 0, "finished");
  CHECK_THAT(refusal_from(folder.path() / "old"),
             ContainsSubstring("train.epochs: 5, this one wants 2 (cdsp seed 0)"));
  other = request.arms[1].config;
  other.conflict.l1 = 7;
  write_run(folder.path() / "named", other, 4, "finished");
  CHECK_THAT(refusal_from(folder.path() / "named"),
             ContainsSubstring("conflict.l1: 7.0, this one wants 0.001 (control seed 4)"));
  write_run(folder.path() / "seed", request.arms[0].config, 8, "finished");
  CHECK_THAT(refusal_from(folder.path() / "seed"), ContainsSubstring("seed 8 is not among"));
  write_run(folder.path() / "half", request.arms[0].config, 0, "interrupted");
  CHECK_THAT(refusal_from(folder.path() / "half"), ContainsSubstring("not finished (interrupted)"));
  CHECK_THAT(refusal_from(folder.path() / "none"), ContainsSubstring("is not a folder"));
  fs::create_directory(folder.path() / "empty");
  CHECK_THAT(refusal_from(folder.path() / "empty"), ContainsSubstring("holds no run"));
}
