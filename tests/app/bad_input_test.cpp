// What a user gets wrong at the command line: one line on standard error, exit code 2, and nothing
// written. The config keys and the data files have tests of their own in tests/config and
// tests/data.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

#include "support/background_program.h"
#include "support/catch.h"
#include "support/idx_files.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

struct Mistake {
  std::vector<std::string> arguments;
  std::vector<std::string> message;  // parts that the line must have
};

std::vector<std::string> training(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"train", "--config", "cdsp.yaml", "--out", "run"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// Training on IDX files in a folder beside the config.
std::vector<std::string> training_on(const std::string& root) {
  return training(
      {"--set", "data.source=idx", "--set", "data.tasks=[one]", "--set", "data.root=" + root});
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    names.insert(fs::relative(entry.path(), folder).string());
  }
  return names;
}

void check_mistakes(const TemporaryFolder& folder, const std::vector<Mistake>& mistakes) {
  const auto before = names_in(folder.path());
  std::vector<std::vector<std::string>> commands;
  for (const Mistake& mistake : mistakes) commands.push_back(mistake.arguments);
  const auto results = run_programs(commands, {folder.path(), {}});
  for (size_t i = 0; i < results.size(); ++i) {
    CAPTURE(commands[i], results[i].errors);
    CHECK(results[i].exit_code == 2);
    CHECK(results[i].output.empty());
    CHECK(results[i].errors.rfind("cdsp: error: ", 0) == 0);
    CHECK(std::count(results[i].errors.begin(), results[i].errors.end(), '\n') == 1);
    for (const std::string& part : mistakes[i].message) {
      CHECK_THAT(results[i].errors, ContainsSubstring(part));
    }
  }
  CHECK(names_in(folder.path()) == before);
}

}  // namespace

TEST_CASE("mistakes in the command line", "[app]") {
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  check_mistakes(
      folder, {{{"trian"}, {"unknown command 'trian'", "did you mean 'train'"}},
               {{"compare"}, {"a command is needed", "baselines"}},
               {{"train"}, {"--config"}},
               {training({"--nonsense"}), {"--nonsense"}},
               {{"train", "--resume"}, {"--resume", "--out"}},
               {{"train", "--resume", "--out", "run"}, {"run: holds no run to resume"}},
               {training({"--resume"}), {"run: holds no run to resume"}},
               {{"blind-eval"}, {"--run", "--checkpoint"}},
               {{"blind-eval", "--run", "run"}, {"run: is not a run's folder"}},
               {{"blind-eval", "--run", "."}, {".: holds no run"}},
               {{"blind-eval", "--checkpoint", "none.safetensors"}, {"--config"}},
               {{"compare", "baselines", "--suite", "none", "--out", "run"}, {"--suite", "none"}},
               {{"compare", "baselines", "--seeds", "1,x", "--out", "run"}, {"--seeds", "1,x"}},
               {{"compare", "baselines", "--jobs", "0", "--out", "run"}, {"--jobs", "0", "auto"}},
               {{"compare", "baselines", "--out", "", "--dry-run"}, {"--out: found nothing"}},
               {{"compare", "ablation", "--out", ""}, {"--out: found nothing"}},
               {{"report", "run", "--out", ""}, {"--out: found nothing"}},
               {{"verify", "theory", "--out", ""}, {"--out: found nothing"}},
               {{"compare", "ablation", "--out", "run"}, {"--key", "--study"}},
               {{"compare", "ablation", "--key", "moe.rank", "--out", "run"}, {"--values"}},
               {{"bench", "step", "--variant", "dense"}, {"--variant", "dense", "baseline"}},
               {{"bench", "step", "--threads", "1025"}, {"--threads", "1025", "0 to "}},
               {{"bench", "step", "--batch", "0"}, {"--batch", "0"}}});
}

TEST_CASE("mistakes in a config leave no run's folder behind", "[app]") {
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  folder.write("empty.yaml", "");
  folder.write("twice.yaml", "seed: 1\nseed: 2\n");
  const auto from = [](const std::string& file) {
    return std::vector<std::string>{"train", "--config", file, "--out", "run"};
  };
  check_mistakes(folder,
                 {{from("none.yaml"), {"none.yaml", "no such file"}},
                  {from("."), {".: is a folder"}},
                  {from("empty.yaml"), {"empty.yaml"}},
                  {from("twice.yaml"), {"twice.yaml", "seed"}},
                  {training({"--set", "moe.topk=1"}), {"moe.topk", "moe.top_k"}},
                  {training({"--set", "moe.top_k=9"}), {"moe.top_k", "9", "8"}},
                  {training({"--seed", "many"}), {"error: --seed: found", "many", "an integer"}},
                  {training({"--seed", ""}), {"--seed: found nothing"}},
                  {training({"--device", ""}), {"--device: found nothing"}},
                  {training({"--device", "cuda:"}), {"error: --device: found the text \"cuda:\""}},
                  {training({"--device", "gpu"}), {"error: --device: found", "gpu", "cuda"}},
                  {training({"--threads", "-1"}), {"error: --threads: found -1"}},
                  {training({"--threads", "1025"}), {"--threads: found 1025", "from 0 to 1024"}},
                  {from("/dev/zero"), {"/dev/zero: gives more than 64 MiB"}},
                  {training({"--set", "data.order_file=/dev/zero"}), {"/dev/zero: gives more"}},
                  {training({"--set", "train.init_from=/dev/zero"}), {"/dev/zero: gives more"}},
                  {{"bench", "step", "--set", "train.threads=1"},
                   {"train.threads: not for a benchmark; use --threads"}},
                  {training({"--set", "model.patch_size=5"}), {"patch_size", "28"}}});
}

TEST_CASE("a path that cannot be looked at is told with the reason", "[app]") {
  const TemporaryFolder folder;
  fs::create_symlink("circle", folder.path() / "circle");
  const std::vector<std::vector<std::string>> commands = {
      {"train", "--config", "circle", "--out", "run"},
      {"train", "--resume", "--out", "circle"},
      {"blind-eval", "--run", "circle"},
      {"compare", "baselines", "--suite", "circle"},
      {"report", "circle"}};
  const auto results = run_programs(commands, {folder.path(), {}});
  for (size_t i = 0; i < results.size(); ++i) {
    CAPTURE(commands[i], results[i].errors);
    CHECK(results[i].exit_code == 2);
    CHECK_THAT(results[i].errors, ContainsSubstring("circle"));
    CHECK_THAT(results[i].errors, ContainsSubstring("Too many levels of symbolic links"));
    CHECK_THAT(results[i].errors, !ContainsSubstring("filesystem"));
    CHECK(std::count(results[i].errors.begin(), results[i].errors.end(), '\n') == 1);
  }
  if (::geteuid() == 0) {
    WARN("root may look into every folder: not tested with one that is closed");
    return;
  }
  folder.write("closed/run/config.yaml", tiny_yaml("cdsp"));
  fs::permissions(folder.path() / "closed", fs::perms::none);
  const auto result = run_program_in({folder.path(), {}}, {"blind-eval", "--run", "closed/run"});
  fs::permissions(folder.path() / "closed", fs::perms::owner_all);
  CHECK(result.exit_code == 2);
  CHECK(result.errors == "cdsp: error: closed/run: Permission denied\n");
}

TEST_CASE("mistakes in data files leave no run's folder behind", "[app]") {
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  RandomTask task;
  task.packing = Packing::kPlain;
  write_idx_task(folder.path() / "cut" / "one", task);
  fs::resize_file(folder.path() / "cut" / "one" / "train-images-idx3-ubyte", 1000);
  write_idx_task(folder.path() / "magic" / "one", task);
  std::ofstream(folder.path() / "magic" / "one" / "t10k-labels-idx1-ubyte") << "no IDX file";
  check_mistakes(folder, {{training_on("none"), {"none", "train-images-idx3-ubyte"}},
                          {training_on("cut"), {"cut", "train-images-idx3-ubyte"}},
                          {training_on("magic"), {"magic", "t10k-labels-idx1-ubyte"}}});
}
