// What the router is told of the task at test time.
#include "eval/protocol.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "base/error.h"
#include "eval/task_input.h"
#include "support/catch.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("the protocols are informed, blind, and each task forced") {
  std::vector<std::string> names;
  for (const Protocol& protocol : all_protocols(3)) names.push_back(protocol.name());
  CHECK(names == std::vector<std::string>{"informed", "blind", "forced-0", "forced-1", "forced-2"});
}

TEST_CASE("every protocol's name is read back as that protocol") {
  for (const Protocol& protocol : all_protocols(12)) {
    const Protocol read = parse_protocol(protocol.name(), 12);
    INFO(protocol.name());
    CHECK(read.kind == protocol.kind);
    CHECK(read.forced_task == protocol.forced_task);
  }
}

TEST_CASE("another word, or a task there is not, is refused with what is allowed") {
  for (const std::string text :
       {"forced-3", "forced", "forced--1", "forced-01", "Blind", "", "all"}) {
    INFO(text);
    CHECK(message_of<InputError>([&] { parse_protocol(text, 3); }) ==
          "--protocol: '" + text + "' is none of informed, blind, forced-0 to forced-2, all");
  }
}

TEST_CASE("informed tells the true task, forced one and the same, blind nothing") {
  const at::Tensor tasks = at::tensor({1, 0, 2}, at::kLong);
  const at::Tensor informed = task_input(parse_protocol("informed", 3), tasks, 3, at::kDouble);
  const at::Tensor forced = task_input(parse_protocol("forced-2", 3), tasks, 3, at::kFloat);
  CHECK(at::equal(informed,
                  at::tensor({0., 1., 0., 1., 0., 0., 0., 0., 1.}, at::kDouble).view({3, 3})));
  CHECK(
      at::equal(forced, at::tensor({0., 0., 1., 0., 0., 1., 0., 0., 1.}, at::kFloat).view({3, 3})));
  CHECK_FALSE(task_input(parse_protocol("blind", 3), tasks, 3, at::kDouble).defined());
}
