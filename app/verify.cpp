// cdsp verify: the paper's statements held against simulation.
#include <memory>
#include <string>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "experiment/theory.h"

namespace cdsp::app {
namespace {

struct VerifyArguments {
  std::string out = "runs/theory", run;
  uint64_t seed = 0;
  int64_t paths = 2000;
};

const char* verdict_of(const TheoryFinding& finding) {
  if (!finding.holds) return "open   ";
  return *finding.holds ? "holds  " : "fails  ";
}

std::string findings_text(const std::vector<TheorySection>& sections) {
  std::string text;
  for (const TheorySection& section : sections) {
    text += section.title + "\n";
    for (const TheoryFinding& finding : section.findings) {
      text += "  " + std::string(verdict_of(finding)) + finding.statement + "\n           " +
              finding.evidence + "\n";
    }
    text += "\n";
  }
  return text;
}

int verify_theory(const VerifyArguments& arguments, const GlobalOptions& global) {
  TheoryOptions options;
  options.seed = arguments.seed;
  options.paths = arguments.paths;
  if (!arguments.run.empty()) options.run = arguments.run;
  check_theory_folder(arguments.out);
  const auto sections = cdsp::verify_theory(options);
  const auto written = write_theory(arguments.out, sections, options);
  if (global.json) {
    print_result(theory_json(sections, options));
    spdlog::info("{} written", written.front().string());
  } else {
    print_result(findings_text(sections) + "written: " + written.front().string() + " and " +
                 std::to_string(written.size() - 1) + " charts beside it as CSV\n");
  }
  return 0;
}

void add_theory(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand(
      "theory", "Lemma 1 and Theorems 1 and 2 by simulation, beside a finished run");
  command->footer(
      "Writes theory.json and a CSV file for every chart. A finding can come out false.\n\n"
      "Example:\n"
      "  cdsp verify theory --out runs/theory\n"
      "  cdsp verify theory --run runs/first --out runs/theory-first");
  auto arguments = std::make_shared<VerifyArguments>();
  command->add_option("--out", arguments->out, "Folder of the results")
      ->capture_default_str()
      ->type_name("DIR")
      ->check(not_empty());
  command->add_option("--run", arguments->run, "A finished CDSP run to put beside the simulation")
      ->type_name("DIR");
  command->add_option("--seed", arguments->seed, "Seed of the simulation")
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--paths", arguments->paths,
                   "Simulated links a setting, and pairs of gradients a dimension")
      ->capture_default_str()
      ->type_name("N");
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return verify_theory(*arguments, global); };
  });
}

}  // namespace

void add_verification(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("verify", "Hold the paper's theory against simulation");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp verify theory --out runs/theory");
  add_theory(*command, global, action);
}

}  // namespace cdsp::app
