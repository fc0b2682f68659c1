// cdsp bench: how fast this machine trains.
#include "app/bench_commands.h"

namespace cdsp::app {

void add_bench(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("bench", "Measure speed");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp bench step --batch 128 --json");
  add_bench_step(*command, global, action);
  add_bench_floor(*command, global, action);
  add_bench_kernels(*command, global, action);
  add_bench_scaling(*command, global, action);
  add_bench_epoch(*command, global, action);
}

}  // namespace cdsp::app
