// One finished run that several tests look at; none of them may change it.
#pragma once

#include <filesystem>

#include "support/program.h"

namespace cdsp::test {

struct FinishedRun {
  std::filesystem::path config;  // tiny_yaml("cdsp")
  std::filesystem::path folder;  // the run's
  ProgramResult program;         // of `cdsp train --json`
};

/// Trained on the first call.
const FinishedRun& finished_run();

}  // namespace cdsp::test
