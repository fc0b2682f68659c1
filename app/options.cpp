#include "app/options.h"

#include <filesystem>
#include <system_error>

#include "app/output.h"
#include "config/config.h"
#include "report/progress.h"

namespace cdsp::app {

void add_set_option(CLI::App& command, std::vector<std::string>& overrides) {
  command
      .add_option("--set", overrides,
                  "Change one config key on top of the file; may be given again")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_device_option(CLI::App& command, std::string& device) {
  command.add_option("--device", device, "auto, cpu, cuda or cuda:i (default: as the config says)")
      ->type_name("DEVICE")
      ->check(not_empty());
}

CLI::Validator not_empty() {
  return CLI::Validator(
      [](const std::string& value) {
        return value.empty() ? std::string("found nothing; a value is needed") : std::string();
      },
      "");
}

std::string shipped_config(const std::string& name) {
  namespace fs = std::filesystem;
  const fs::path here = fs::path("configs") / name;
  std::error_code code;
  if (fs::exists(here, code)) return here.string();
  const fs::path program = fs::read_symlink("/proc/self/exe", code);
  const fs::path installed = program.parent_path().parent_path() / "share" / "cdsp" / here;
  return (fs::exists(installed, code) ? installed : here).string();
}

void override_key(std::vector<std::string>& overrides, const std::string& option,
                  const std::string& key, const std::string& value) {
  if (value.empty()) return;
  check_value(key, value, option);
  overrides.push_back(key + "=" + value);
}

std::unique_ptr<RunObserver> make_observer(const GlobalOptions& global) {
  if (global.quiet) return std::make_unique<RunObserver>();
  return std::make_unique<Progress>(progress_on_stderr());
}

std::string command_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + shell_word(word);
  return text;
}

}  // namespace cdsp::app
