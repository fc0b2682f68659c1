// Label schemes: what the labels of a file mean to the network (data.labels).
//
//   native   the file's own classes
//   coarse   mnist: the digit; kmnist: label mod 2; fashion-mnist: 1 if label >= 5, else 0
//            (the released code of the paper)
#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"

namespace cdsp {

/// Throws InputError naming key data.labels if `scheme` is not defined for `task`.
void check_label_scheme(LabelScheme scheme, const std::string& task);

/// Replaces `count` labels by what `scheme` makes of them for `task`. Every result must be in [0,
/// classes), and what coarse labels are made from in [0, 10). Throws InputError naming `file` and
/// the item otherwise.
void apply_label_scheme(LabelScheme scheme, const std::string& task, const std::string& file,
                        int64_t classes, uint8_t* labels, int64_t count);

}  // namespace cdsp
