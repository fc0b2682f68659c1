#include "eval/protocol.h"

#include "base/error.h"

namespace cdsp {

std::string Protocol::name() const {
  switch (kind) {
    case Kind::kInformed:
      return "informed";
    case Kind::kBlind:
      return "blind";
    case Kind::kForced:
      break;
  }
  return "forced-" + std::to_string(forced_task);
}

std::vector<Protocol> all_protocols(int64_t tasks) {
  std::vector<Protocol> protocols = {{Protocol::Kind::kInformed, 0}, {Protocol::Kind::kBlind, 0}};
  for (int64_t task = 0; task < tasks; ++task) protocols.push_back({Protocol::Kind::kForced, task});
  return protocols;
}

Protocol parse_protocol(const std::string& text, int64_t tasks) {
  for (const Protocol& protocol : all_protocols(tasks)) {
    if (protocol.name() == text) return protocol;
  }
  throw InputError("--protocol: '" + text + "' is none of informed, blind, forced-0 to forced-" +
                   std::to_string(tasks - 1) + ", all");
}

}  // namespace cdsp
