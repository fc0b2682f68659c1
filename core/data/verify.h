// Reads data files through and says what they are: counts, shapes, classes, and whether they are
// the original files of a public data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cdsp {

enum class FileOrigin {
  kOriginal,  // the published file, byte for byte
  kRepacked,  // the published content in other packing
  kOther,     // a file of that name, but not the published content (a part of it, say)
  kUnknown,   // nothing is published under this task's name
};
const char* to_string(FileOrigin origin);

struct FileReport {
  std::filesystem::path path;
  std::vector<int64_t> shape;  // the first size is the number of items
  std::string md5;             // of the file as it lies there
  FileOrigin origin = FileOrigin::kUnknown;
  int64_t original_items = 0;  // in the published file; 0 if there is none
};

struct SplitReport {
  std::string split;  // "train" or "t10k"
  FileReport images;
  FileReport labels;
  std::vector<int64_t> class_counts;  // by label, up to the largest that occurs
};

struct TaskReport {
  std::string task;
  std::vector<SplitReport> splits;    // those that could be read
  std::vector<std::string> problems;  // one sentence each; empty if all is well
};

/// Reports on the given tasks, or on every folder of `root` that holds an IDX file of the expected
/// names. A damaged file is a problem in the report. Throws InputError if `root` is no folder or
/// nothing is found.
std::vector<TaskReport> verify_data(const std::filesystem::path& root,
                                    std::vector<std::string> tasks);

}  // namespace cdsp
