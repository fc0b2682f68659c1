// cdsp report: one page with every figure of a folder.
#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "report/html_report.h"
#include "report/report_data.h"

namespace cdsp::app {
namespace {
namespace fs = std::filesystem;

struct ReportArguments {
  std::string folder, out;
};

void make_folder(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw InputError(folder.string() + ": cannot be created: " + code.message());
}

int report_folder(const ReportArguments& arguments, const GlobalOptions& global) {
  const auto data = page::read_report_data(arguments.folder);
  const HtmlReport report = html_report(data);
  const fs::path path =
      arguments.out.empty() ? fs::path(arguments.folder) / "report.html" : fs::path(arguments.out);
  const fs::path figures = path.parent_path() / "figures";
  make_folder(figures);
  nlohmann::ordered_json json;
  json["report"] = path.string();
  json["figures"] = nlohmann::ordered_json::array();
  for (const auto& [name, svg] : report.figures) {
    write_file_atomically(figures / name, svg);
    json["figures"].push_back((figures / name).string());
  }
  write_file_atomically(path, report.html);
  if (global.json) {
    print_result(json);
    return 0;
  }
  const Terminal terminal = result_terminal();
  const std::string small = terminal.can_redraw && !global.quiet ? report_text(data, terminal) : "";
  print_result(small + "written: " + path.string() + "\nwritten: " + figures.string() + "/ (" +
               std::to_string(report.figures.size()) + " figures)\n");
  return 0;
}

}  // namespace

void add_report(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand(
      "report", "One self-contained page from a run, a comparison, an ablation or the theory");
  command->footer(
      "The figures are also written one by one, as SVG, into a folder figures beside the page.\n\n"
      "Example: the page of a comparison\n"
      "  cdsp report runs/smoke");
  auto arguments = std::make_shared<ReportArguments>();
  command
      ->add_option("folder", arguments->folder,
                   "Folder of a run, or one with comparison.json, ablation.json or theory.json")
      ->required()
      ->type_name("DIR");
  command->add_option("--out", arguments->out, "The page's file (default: DIR/report.html)")
      ->type_name("FILE")
      ->check(not_empty());
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return report_folder(*arguments, global); };
  });
}

}  // namespace cdsp::app
