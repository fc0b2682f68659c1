#include "app/finished_run.h"

#include "support/background_program.h"
#include "support/tiny_run.h"

namespace cdsp::test {

const FinishedRun& finished_run() {
  static const TemporaryFolder folder;
  static const FinishedRun run = [] {
    FinishedRun result;
    result.config = folder.write("cdsp.yaml", tiny_yaml("cdsp"));
    result.folder = folder.path() / "run";
    result.program = run_program_in({}, {"train", "--json", "--config", result.config.string(),
                                         "--out", result.folder.string()});
    return result;
  }();
  return run;
}

}  // namespace cdsp::test
