// --help: every command has one, with an example.
#include <string>
#include <vector>

#include "support/background_program.h"
#include "support/catch.h"

namespace {

using Catch::Matchers::ContainsSubstring;
using cdsp::test::run_programs;

const std::vector<std::vector<std::string>> kCommands = {{},
                                                         {"train"},
                                                         {"blind-eval"},
                                                         {"compare"},
                                                         {"compare", "baselines"},
                                                         {"compare", "ablation"},
                                                         {"verify"},
                                                         {"verify", "theory"},
                                                         {"data"},
                                                         {"data", "fetch"},
                                                         {"data", "verify"},
                                                         {"config"},
                                                         {"config", "show"},
                                                         {"config", "check"},
                                                         {"config", "schema"},
                                                         {"config", "keys"},
                                                         {"info"},
                                                         {"bench"},
                                                         {"bench", "step"},
                                                         {"bench", "gemm-floor"},
                                                         {"bench", "kernels"},
                                                         {"bench", "scaling"},
                                                         {"bench", "epoch"},
                                                         {"report"}};

}  // namespace

TEST_CASE("every command explains itself with an example", "[app]") {
  std::vector<std::vector<std::string>> calls = kCommands;
  for (auto& words : calls) words.emplace_back("--help");
  const auto results = run_programs(calls);
  for (size_t i = 0; i < results.size(); ++i) {
    CAPTURE(calls[i]);
    CHECK(results[i].exit_code == 0);
    CHECK(results[i].errors.empty());
    CHECK_THAT(results[i].output, ContainsSubstring("Example"));
    // The example calls this very command.
    std::string command = "cdsp";
    for (const std::string& word : kCommands[i]) command += " " + word;
    CHECK_THAT(results[i].output, ContainsSubstring("\n  " + command));
  }
}
