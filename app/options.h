// Options that several subcommands share, under one spelling.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/commands.h"
#include "experiment/train_run.h"

namespace cdsp::app {

/// --set KEY=VALUE, any number of times.
void add_set_option(CLI::App& command, std::vector<std::string>& overrides);

/// --device, which is --set train.device under a shorter name.
void add_device_option(CLI::App& command, std::string& device);

/// For options whose value must be more than nothing: --seed "$SEED" with SEED unset is a mistake.
CLI::Validator not_empty();

/// configs/NAME, or where the working directory has none the one installed with this program
/// (../share/cdsp/configs/NAME beside it), if that is there.
std::string shipped_config(const std::string& name);

/// Adds `key=value` to the overrides unless `value` is empty. Throws InputError naming `option` if
/// it is no value of that key.
void override_key(std::vector<std::string>& overrides, const std::string& option,
                  const std::string& key, const std::string& value);

/// Progress on standard error, or nothing with --quiet.
std::unique_ptr<RunObserver> make_observer(const GlobalOptions& global);

/// Words as a line that a shell reads back.
std::string command_text(const std::vector<std::string>& words);

}  // namespace cdsp::app
