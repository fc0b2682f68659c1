// The subcommands of cdsp bench, one a file.
#pragma once

#include "app/commands.h"

namespace cdsp::app {

void add_bench_step(CLI::App& bench, const GlobalOptions& global, Action& action);
void add_bench_floor(CLI::App& bench, const GlobalOptions& global, Action& action);
void add_bench_kernels(CLI::App& bench, const GlobalOptions& global, Action& action);
void add_bench_scaling(CLI::App& bench, const GlobalOptions& global, Action& action);
void add_bench_epoch(CLI::App& bench, const GlobalOptions& global, Action& action);

}  // namespace cdsp::app
