// The public data sets that cdsp knows: where their original files are served, what those files'
// sums are, and whom to credit. One table line per file; a new data set is a new entry here and
// nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cdsp {

struct OriginalFile {
  const char* name;    // as served and stored, .gz
  int64_t items;       // images or labels
  const char* md5;     // of the .gz file
  const char* sha256;  // of the .gz file; "" where not known
  const char*
      content_md5;  // of the unpacked bytes, which survive packing again; "" where not known
};

struct OriginalTask {
  const char* name;  // task and folder name
  const char* credit;
  std::vector<std::string> mirrors;  // FILE is at MIRROR/FILE; tried in this order
  std::array<OriginalFile, 4> files;
};

const std::vector<OriginalTask>& original_tasks();

/// The entry called `name`, or nullptr.
const OriginalTask* find_original_task(const std::string& name);

}  // namespace cdsp
