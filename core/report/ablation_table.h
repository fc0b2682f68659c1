// An ablation as tables and bars: separation, sparsity and accuracy against the key's value.
#pragma once

#include <string>

#include "experiment/ablation.h"
#include "report/terminal.h"

namespace cdsp {

std::string ablation_text(const Ablation& ablation, const Terminal& terminal);
/// A whole Markdown page with the same tables.
std::string ablation_markdown(const Ablation& ablation);

}  // namespace cdsp
