// A run's folder (spec section 9): who may write it, and what it says of itself.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "config/config.h"

namespace cdsp {

/// Holds the folder for one process at a time (a lock that dies with the process).
class RunDirectory {
 public:
  enum class Mode {
    kNew,     // must not exist, or be empty
    kResume,  // must hold a run; its config is in config.yaml
  };
  /// Throws InputError naming the folder: it is a file, not empty, holds no run to resume, or
  /// another cdsp is at work in it.
  RunDirectory(std::filesystem::path path, Mode mode);
  /// The constructor's refusals without making anything: a look before the data are read.
  static void reject_unusable(const std::filesystem::path& path, Mode mode);
  /// Gives the folder back. A new run's folder that was not kept is emptied, and removed if it was
  /// made here, with the folders above it that were made with it and are empty: a run that never
  /// began leaves nothing behind.
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// From here on what stands in the folder stays, however the run ends.
  void keep() { kept_ = true; }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  /// Makes a sub-folder (if need be) and names it.
  std::filesystem::path folder(const std::string& name) const;

 private:
  void release();
  void make_folders();
  void remove_made_folders();
  [[noreturn]] static void reject_as_not_empty(const std::filesystem::path& path);

  std::filesystem::path path_;
  int lock_ = -1;
  std::vector<std::filesystem::path> made_;  // by this, the outermost first
  bool kept_ = false;
};

/// The program that made a run, as far as its run.json says: empty where it does not.
struct RunMaker {
  std::string cdsp, commit, libtorch;  // versions, and the git commit
  std::string device;                  // "cpu", "cuda": the kind, without a number
  std::string engine;                  // "fused", "reference"
};

/// run.json: written when a run starts, at every checkpoint and when it ends.
struct RunRecord {
  std::string status = "running";  // running | finished | interrupted | failed
  std::string message;             // why, for failed
  std::string start;               // of the first session, ISO 8601 UTC
  double wall_seconds = 0;         // over all sessions of the run
  int64_t resumed = 0;             // how often
  int64_t steps = 0, epochs = 0;
  std::optional<int64_t> checkpoint_step;  // of the newest checkpoint; empty before the first
  int64_t parameters = 0;
  std::string device, engine;
  std::string step;  // how steps are made by now: eager, device or graph
  int64_t threads = 0;
  std::string data_fingerprint;
  /// SHA-256 of the files that the config names, by key (experiment/fingerprint.h).
  std::map<std::string, std::string> input_files;
  /// Written by write_run_record from the config and this program; empty and 1 where a run.json of
  /// before does not have them.
  std::string config_fingerprint;
  int64_t results_version = 1;
  RunMaker maker;  // of reading; writing takes this program, and device and engine of above
};

/// This program, without a device.
RunMaker this_program();

void write_run_record(const RunDirectory& directory, const Config& config, const RunRecord& record);
/// Empty if there is no run.json. Throws InputError if it is not what write_run_record writes.
std::optional<RunRecord> read_run_record(const std::filesystem::path& directory);

/// Whether a config key changes how fast a run is, and what it comes to by rounding at most.
bool changes_speed_only(const std::string& key);

/// Now, "2026-01-31T12:00:00Z".
std::string utc_now();

/// Whether the folder holds a finished run of exactly this config. Throws InputError naming the
/// run, the first thing that differs and both values if it holds a run of another config, of other
/// data, or of a program with other numbers.
enum class RunState { kAbsent, kUnfinished, kFinished };
RunState inspect_run(const std::filesystem::path& directory, const Config& config,
                     const std::string& data_fingerprint);

/// The same for a run that is to go on, whatever it is compared with: once it has a checkpoint, the
/// weights it began from are no matter, and their file may have changed.
void require_resumable(const std::filesystem::path& directory, const Config& config,
                       const std::string& data_fingerprint);

}  // namespace cdsp
