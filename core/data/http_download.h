// One HTTP transfer into a part file, going on where the part ends.
#pragma once

#include <functional>
#include <string>

#include "data/part_file.h"

namespace cdsp {

struct TransferLimits {
  long connect_seconds = 20;                // to reach the server
  long stall_seconds = 30;                  // with less than 100 bytes a second
  int64_t most_bytes = int64_t{256} << 20;  // a longer answer is refused
};

enum class TransferEnd {
  kComplete,     // the server sent all that it announced
  kInterrupted,  // the connection broke or stalled; the part keeps what came
  kRefused,      // no connection, an error status, or an answer that cannot be the file
  kBeyondEnd,    // the server says that the part is as long as the file or longer (status 416)
};

struct Transfer {
  TransferEnd end;
  std::string reason;  // for the user; empty if complete
  bool was_resumed = false;
};

/// Downloads `url` (http or https; redirects are followed) behind what `part` holds. A server that
/// ignores the range starts the part over. `progress` hears (bytes so far, bytes in all or 0) now
/// and then; it may be empty. Throws WorkError only if the disk says no.
Transfer download(const std::string& url, PartFile& part, const TransferLimits& limits,
                  const std::function<void(int64_t, int64_t)>& progress);

}  // namespace cdsp
