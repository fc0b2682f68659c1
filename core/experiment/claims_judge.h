// From one number a seed to a verdict and a sentence.
#pragma once

#include <cstdint>
#include <string>

#include "experiment/claims.h"

namespace cdsp {

/// Fills estimate, intervals and verdict of a part from its values. `stream` names the bootstrap's
/// random numbers.
void judge(ClaimPart& part, uint64_t stream);

/// Judges every part of a claim, then the claim, and writes its sentence: those of the parts that
/// have values, then what stands there already (why something was not measured).
void judge(Claim& claim, uint64_t number);

/// "separation index: 0.031 bits [0.012, 0.05] over 5 seeds, claimed > 0".
std::string sentence_of(const ClaimPart& part);

}  // namespace cdsp
