// cdsp config: shows, checks and documents config files.
#include "config/config.h"

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "base/json_text.h"

namespace cdsp::app {
namespace {

struct ConfigArguments {
  std::string file;
  std::vector<std::string> overrides;
};

void add_file_options(CLI::App& command, ConfigArguments& arguments) {
  command.add_option("--config", arguments.file, "Config file (YAML)")
      ->required()
      ->type_name("FILE");
  add_set_option(command, arguments.overrides);
}

void add_show(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command =
      parent.add_subcommand("show", "Print the complete resolved config: every key with its value");
  command->footer(
      "Example: the paper's config with one expert per token, as JSON\n"
      "  cdsp config show --config configs/paper/cdsp.yaml --set moe.top_k=1 --json");
  auto arguments = std::make_shared<ConfigArguments>();
  add_file_options(*command, *arguments);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] {
      const Config config = load_config(arguments->file, arguments->overrides);
      print_result(global.json ? to_json(config) : to_yaml(config));
      return 0;
    };
  });
}

void add_check(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command =
      parent.add_subcommand("check", "Say whether a config is valid; exit code 2 if it is not");
  command->footer(
      "Example:\n  cdsp config check --config configs/smoke/cdsp.yaml --set train.epochs=2");
  auto arguments = std::make_shared<ConfigArguments>();
  add_file_options(*command, *arguments);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] {
      load_config(arguments->file, arguments->overrides);
      const nlohmann::ordered_json result = {{"file", arguments->file}, {"ok", true}};
      print_result(global.json ? json_text(result) + "\n" : arguments->file + ": ok\n");
      return 0;
    };
  });
}

void add_schema(CLI::App& parent, Action& action) {
  auto* command =
      parent.add_subcommand("schema", "Print the JSON Schema of config files, for editors");
  command->footer(
      "Example: completion and checks in editors that read YAML through the schema\n"
      "  cdsp config schema > cdsp.schema.json\n"
      "  sed -i '1i # yaml-language-server: $schema=cdsp.schema.json' my.yaml");
  command->callback([&action] {
    action = [] {
      print_result(config_json_schema());
      return 0;
    };
  });
}

void add_keys(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command =
      parent.add_subcommand("keys", "Print every key with its default, allowed values and meaning");
  command->footer("Example: the keys of the gradient game\n  cdsp config keys | grep conflict");
  command->callback([&global, &action] {
    action = [&global] {
      print_result(global.json ? config_keys_json() : config_markdown_table());
      return 0;
    };
  });
}

}  // namespace

void add_config(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("config", "Show, check and document config files");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp config show --config configs/paper/cdsp.yaml --set seed=3");
  add_show(*command, global, action);
  add_check(*command, global, action);
  add_schema(*command, action);
  add_keys(*command, global, action);
}

}  // namespace cdsp::app
