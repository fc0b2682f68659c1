// Downloads files whose sums are known from a list of mirrors, so that only whole and right files
// ever carry their names: everything arrives in FILE.part, is checked, flushed to the disk and then
// renamed.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/http_download.h"
#include "data/originals.h"

namespace cdsp {

struct RemoteFile {
  std::string name;         // FILE is at MIRROR/FILE
  std::string md5;          // of the file
  std::string sha256;       // of the file; empty if not known
  std::string content_md5;  // of the unpacked content; empty if not known
};

struct FetchOptions {
  TransferLimits limits;
  int attempts_per_mirror =
      4;  // an interrupted download goes on at the same mirror while bytes still come
  std::function<void(const std::string&)> report;  // one line of progress at a time; may be empty
};

enum class FetchOutcome {
  kPresent,          // the original file was there already
  kPresentRepacked,  // its content was there, packed again or unpacked
  kDownloaded,
};
const char* to_string(FetchOutcome outcome);

/// Makes sure that `folder` (made if need be) holds `file`, trying `mirrors` in order: the next one
/// on an error status, a broken connection or a wrong sum. A present file is never replaced. Throws
/// InputError if a file of that name is there but holds something else; WorkError, naming each
/// mirror with its reason, if none of them delivers, or if the disk says no.
FetchOutcome fetch_file(const RemoteFile& file, const std::vector<std::string>& mirrors,
                        const std::filesystem::path& folder, const FetchOptions& options);

/// The four files of a public data set as fetch_file() takes them.
std::vector<RemoteFile> remote_files(const OriginalTask& task);

}  // namespace cdsp
