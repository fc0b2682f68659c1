// A suite: the arms of a comparison, each a config under a name.
//
// A folder is a suite of all its *.yaml files, each an arm named by its stem, whichever they are: a
// file that others name as their base is an arm too, as a profile's cdsp.yaml is. A file is a suite
// of the arms that it lists, with paths relative to it:
//
//   arms:
//     cdsp: {config: paper/cdsp.yaml}
//     cdsp-no-conflict: {config: paper/cdsp.yaml, set: [conflict.lambda=0]}
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

struct SuiteArm {
  std::string name;
  std::string origin;  // where it was read, for messages
  Config config;
};

struct Suite {
  std::string name;            // as it was asked for
  std::vector<SuiteArm> arms;  // baseline, blind, cdsp, then the others by name
};

/// The arms of the paper, in the order of its tables: baseline, blind, cdsp.
const std::vector<std::string>& standard_arms();

/// Whether arm `a` stands before arm `b`: the standard arms first, the others by name.
bool arm_stands_before(const std::string& a, const std::string& b);

/// Reads a suite, of its arms those that `names` lists, or all if it lists none. `overrides`
/// ("key=value") go on top of every arm's file; what a suite file sets for an arm lies above them,
/// since it is what makes the arm. Throws InputError naming file, line and arm if the suite or a
/// config in it is not valid, an arm of a standard name is of another variant, a folder holds no
/// config, a name is none of its arms or stands there twice, or these arms do not share their data.
Suite load_suite(const std::filesystem::path& suite, const std::vector<std::string>& overrides,
                 const std::vector<std::string>& names = {});

/// Where the controls of a suite are: DIR-controls.yaml beside a folder DIR, a suite file itself;
/// empty if there is no such file.
std::filesystem::path suite_with_controls(const std::filesystem::path& suite);

/// Throws InputError unless all arms agree in every key that decides which images there are.
void require_same_data(const std::vector<SuiteArm>& arms);

/// Throws InputError if an override names the seed, which --seeds gives.
void reject_seed_overrides(const std::vector<std::string>& overrides);

}  // namespace cdsp
