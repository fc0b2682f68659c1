#include "data/fetch.h"

#include <chrono>
#include <optional>

#include "base/error.h"
#include "data/digest.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kBetweenProgressLines{3};

std::string megabytes(int64_t bytes) {
  const int64_t tenths = (bytes + 50'000) / 100'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MB";
}

std::string joined(const std::string& mirror, const std::string& name) {
  return mirror + (!mirror.empty() && mirror.back() == '/' ? "" : "/") + name;
}

/// Empty if `path` is the file, else what is wrong with it.
std::string wrong_sum(const fs::path& path, const RemoteFile& file) {
  const FileDigests found = digests_of_file(path);
  if (found.md5 != file.md5) return "wrong MD5 " + found.md5 + ", expected " + file.md5;
  if (!file.sha256.empty() && found.sha256 != file.sha256) {
    return "wrong SHA-256 " + found.sha256 + ", expected " + file.sha256;
  }
  return "";
}

bool has_content(const fs::path& path, const RemoteFile& file) {
  if (file.content_md5.empty()) return false;
  try {
    return md5_of_content(path) == file.content_md5;
  } catch (const InputError&) {
    return false;  // it does not even unpack
  }
}

/// What is there already under the file's name, or its name without .gz.
std::optional<FetchOutcome> present(const RemoteFile& file, const fs::path& folder) {
  const fs::path packed = folder / file.name;
  const fs::path unpacked = packed.extension() == ".gz" ? folder / packed.stem() : fs::path();
  for (const fs::path& path : {packed, unpacked}) {
    std::error_code code;
    if (path.empty() || !fs::exists(path, code)) continue;
    if (fs::is_directory(path, code))
      throw InputError(path.string() + ": is a folder, a file is to be stored there");
    if (path == packed && wrong_sum(path, file).empty()) return FetchOutcome::kPresent;
    if (has_content(path, file)) return FetchOutcome::kPresentRepacked;
    throw InputError(path.string() +
                     ": is there but is not the original file; move it away to download that");
  }
  return std::nullopt;
}

/// One download: which mirror, which attempt, and what to tell the user.
class Download {
 public:
  Download(const RemoteFile& file, const fs::path& folder, const FetchOptions& options)
      : file_(file),
        options_(options),
        label_((folder.filename() / file.name).string()),
        part_(folder / file.name) {}

  bool is_done() const { return part_.size() > 0 && wrong_sum(part_.path(), file_).empty(); }
  void store() { part_.rename_to_target(); }

  /// True if the part now is the whole, right file; otherwise `reason` says why this mirror did not
  /// serve it.
  bool try_mirror(const std::string& mirror, std::string& reason) {
    const std::string url = joined(mirror, file_.name);
    for (int attempt = 0; attempt < options_.attempts_per_mirror; ++attempt) {
      const int64_t had = part_.size();
      say(had > 0 ? "going on at " + megabytes(had) + " from " + url : "downloading from " + url);
      Clock::time_point last_line = Clock::now();
      const Transfer transfer =
          download(url, part_, options_.limits, [&](int64_t bytes, int64_t all) {
            if (Clock::now() - last_line < kBetweenProgressLines) return;
            last_line = Clock::now();
            say(megabytes(bytes) + (all > 0 ? " of " + megabytes(all) : std::string()));
          });
      reason = transfer.reason;
      switch (transfer.end) {
        case TransferEnd::kRefused:
          say("failed: " + reason);
          return false;
        case TransferEnd::kInterrupted:
          say("failed: " + reason);
          if (part_.size() <= had) return false;
          break;
        case TransferEnd::kComplete:
        case TransferEnd::kBeyondEnd:
          reason = wrong_sum(part_.path(), file_);
          if (reason.empty()) return true;
          say("failed: " + reason);
          part_.clear();
          // The wrong bytes may be those that were there before, from another mirror.
          if (!transfer.was_resumed && transfer.end == TransferEnd::kComplete) return false;
          break;
      }
    }
    return false;
  }

 private:
  void say(const std::string& text) const {
    if (options_.report) options_.report(label_ + ": " + text);
  }

  const RemoteFile& file_;
  const FetchOptions& options_;
  std::string label_;
  PartFile part_;
};

}  // namespace

const char* to_string(FetchOutcome outcome) {
  switch (outcome) {
    case FetchOutcome::kPresent:
      return "present";
    case FetchOutcome::kPresentRepacked:
      return "present, packed again";
    case FetchOutcome::kDownloaded:
      return "downloaded";
  }
  return "?";
}

FetchOutcome fetch_file(const RemoteFile& file, const std::vector<std::string>& mirrors,
                        const fs::path& folder, const FetchOptions& options) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw WorkError(folder.string() + ": the folder cannot be made: " + code.message());
  if (const auto outcome = present(file, folder)) return *outcome;

  Download download(file, folder, options);
  std::string reasons;
  bool is_done = download.is_done();
  for (size_t i = 0; i < mirrors.size() && !is_done; ++i) {
    std::string reason;
    is_done = download.try_mirror(mirrors[i], reason);
    if (!is_done) reasons += "; " + mirrors[i] + ": " + reason;
  }
  if (!is_done) {
    throw WorkError((folder / file.name).string() + ": could not be downloaded" +
                    (reasons.empty() ? ": no mirror is known" : reasons));
  }
  download.store();
  return FetchOutcome::kDownloaded;
}

std::vector<RemoteFile> remote_files(const OriginalTask& task) {
  std::vector<RemoteFile> files;
  for (const OriginalFile& file : task.files)
    files.push_back({file.name, file.md5, file.sha256, file.content_md5});
  return files;
}

}  // namespace cdsp
