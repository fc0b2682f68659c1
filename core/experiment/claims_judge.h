// From one number a seed to a verdict and a sentence.
#pragma once

#include <cstdint>
#include <string>

#include "experiment/claims.h"

namespace cdsp {

/// Fills estimate, intervals, verdict and note of a part from its values. `stream` names the
/// bootstrap's random numbers.
void judge(ClaimPart& part, uint64_t stream);

/// Judges every part of a claim, then the claim, and writes its sentence. `obstacle`: why it cannot
/// be measured, if there is a reason beyond its values.
void judge(Claim& claim, uint64_t number, const std::string& obstacle);

/// The verdict of a judged claim and what decided it: of one part its finding, of several the
/// names of those that fail or are open, or how many hold.
///   "Supported: 'separation index' is 0.031 bits [0.012, 0.05] over 5 seeds, claimed > 0."
///   "Not supported: 1 of 4 parts fails, 'training loss, CDSP - baseline'."
std::string sentence_of(const Claim& claim, const std::string& obstacle);

}  // namespace cdsp
