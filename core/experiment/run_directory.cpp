#include "experiment/run_directory.h"

#include <cerrno>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_text.h"
#include "experiment/fingerprint.h"
#include "train/runtime.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLockName = ".lock";

bool holds_files(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename() != kLockName) return true;
  }
  return false;
}

/// Opens and locks the lock file; returns its descriptor.
int take_lock(const fs::path& folder) {
  const fs::path path = folder / kLockName;
  while (true) {
    const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
      throw InputError(folder.string() + ": cannot be written: " + std::strerror(errno));
    if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
      ::close(lock);
      throw InputError(folder.string() + ": another cdsp is at work in this folder");
    }
    // The holder before may have deleted the file between our two calls; then the lock is on
    // nothing.
    struct stat held {
    }, named{};
    if (::fstat(lock, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
        held.st_ino == named.st_ino) {
      return lock;
    }
    ::close(lock);
  }
}

RunMaker maker_of(const nlohmann::json& run) {
  const nlohmann::json software = run.value("software", nlohmann::json::object());
  RunMaker maker;
  maker.cdsp = software.value("cdsp", "");
  maker.commit = software.value("git_commit", "");
  maker.libtorch = software.value("libtorch", "");
  const auto device = run.at("device").get<std::string>();
  maker.device = device.substr(0, device.find(':'));
  maker.engine = run.value("engine", "");
  return maker;
}

void require_same_run(const fs::path& directory, const std::optional<RunRecord>& record,
                      const Config& config, const std::string& data_fingerprint) {
  const Config found = load_config(directory / "config.yaml");
  if (const auto mismatch = mismatch_of_run(found, record, config, data_fingerprint)) {
    throw InputError(directory.string() + ": holds a run " + *mismatch +
                     "; choose another --out or remove that folder");
  }
}

}  // namespace

RunDirectory::RunDirectory(fs::path path, Mode mode)
    : path_(std::move(path)), kept_(mode == Mode::kResume) {
  reject_unusable(path_, mode);
  try {
    make_folders();
    lock_ = take_lock(path_);
  } catch (const InputError&) {
    remove_made_folders();
    throw;
  }
  // Another process may have begun a run here, and ended, since the first look.
  if (mode == Mode::kNew && holds_files(path_)) {
    kept_ = true;
    release();
    reject_as_not_empty(path_);
  }
}

void RunDirectory::reject_unusable(const fs::path& path, Mode mode) {
  std::error_code code;
  if (fs::exists(path, code) && !fs::is_directory(path, code)) {
    throw InputError(path.string() + ": is a file; a run needs a folder");
  }
  if (mode == Mode::kResume && !fs::exists(path / "config.yaml")) {
    throw InputError(path.string() + ": holds no run to resume (no config.yaml)");
  }
  if (!fs::is_directory(path, code) || !holds_files(path)) return;
  // A folder at work is not empty either, and that is what its user must hear.
  if (fs::exists(path / kLockName)) ::close(take_lock(path));
  if (mode == Mode::kNew) reject_as_not_empty(path);
}

RunDirectory::~RunDirectory() { release(); }

void RunDirectory::release() {
  std::error_code ignored;
  if (!kept_) {
    for (const auto& entry : fs::directory_iterator(path_, ignored)) {
      if (entry.path().filename() != kLockName) fs::remove_all(entry.path(), ignored);
    }
  }
  // Deleted while still held: whoever opens the name next makes a file of their own.
  ::unlink((path_ / kLockName).c_str());
  if (!kept_) remove_made_folders();
  ::close(lock_);
}

void RunDirectory::make_folders() {
  std::error_code code;
  std::vector<fs::path> missing;
  for (fs::path folder = path_; !folder.empty() && !fs::exists(folder, code);
       folder = folder.parent_path()) {
    missing.push_back(folder);
  }
  for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
    if (fs::create_directory(*folder, code)) made_.push_back(*folder);
    if (code) throw InputError(path_.string() + ": cannot be created: " + code.message());
  }
}

/// Those that are empty: another run may have come to live in one meanwhile.
void RunDirectory::remove_made_folders() {
  std::error_code code;
  while (!made_.empty() && fs::remove(made_.back(), code)) made_.pop_back();
}

void RunDirectory::reject_as_not_empty(const fs::path& path) {
  throw InputError(path.string() +
                   (fs::exists(path / "config.yaml")
                        ? ": is not empty; choose another --out, or continue the run in it with "
                          "--resume"
                        : ": is not empty and holds no run; choose another --out"));
}

fs::path RunDirectory::folder(const std::string& name) const {
  fs::path folder = path_ / name;
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw WorkError(folder.string() + ": cannot be created: " + code.message());
  return folder;
}

bool changes_speed_only(const std::string& key) {
  return key == "train.threads" || key == "train.device" || key == "train.eval_batch_size";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm fields{};
  gmtime_r(&now, &fields);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &fields);
  return text;
}

void write_run_record(const RunDirectory& directory, const Config& config,
                      const RunRecord& record) {
  nlohmann::ordered_json json;
  json["status"] = record.status;
  if (!record.message.empty()) json["message"] = record.message;
  json["variant"] = to_string(config.variant);
  json["seed"] = config.seed;
  json["steps"] = record.steps;
  json["epochs"] = record.epochs;
  if (record.checkpoint_step) json["checkpoint_step"] = *record.checkpoint_step;
  json["parameters"] = record.parameters;
  json["device"] = record.device;
  json["engine"] = record.engine;
  json["step"] = record.step;
  json["threads"] = record.threads;
  json["config_fingerprint"] = config_fingerprint(config);
  json["data_fingerprint"] = record.data_fingerprint;
  if (!record.input_files.empty()) json["input_files"] = record.input_files;
  json["results_version"] = kResultsVersion;
  json["start"] = record.start;
  json["wall_seconds"] = record.wall_seconds;
  json["resumed"] = record.resumed;
  json["peak_memory_bytes"] = peak_memory_bytes();
  for (const auto& [name, value] : runtime_facts()) json["software"][name] = value;
  write_file_atomically(directory.file("run.json"), json_text(json, 2) + "\n");
}

RunMaker this_program() {
  RunMaker maker;
  for (const auto& [name, value] : runtime_facts()) {
    if (name == "cdsp") maker.cdsp = value;
    if (name == "git_commit") maker.commit = value;
    if (name == "libtorch") maker.libtorch = value;
  }
  return maker;
}

std::optional<RunRecord> read_run_record(const fs::path& directory) {
  const fs::path path = directory / "run.json";
  if (!fs::exists(path)) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    RunRecord record;
    json.at("status").get_to(record.status);
    json.at("start").get_to(record.start);
    json.at("wall_seconds").get_to(record.wall_seconds);
    json.at("resumed").get_to(record.resumed);
    json.at("steps").get_to(record.steps);
    json.at("epochs").get_to(record.epochs);
    json.at("parameters").get_to(record.parameters);
    json.at("device").get_to(record.device);
    json.at("threads").get_to(record.threads);
    json.at("data_fingerprint").get_to(record.data_fingerprint);
    record.input_files = json.value("input_files", record.input_files);
    if (json.contains("checkpoint_step"))
      record.checkpoint_step = json["checkpoint_step"].get<int64_t>();
    record.engine = json.value("engine", record.engine);
    record.step = json.value("step", record.step);
    record.maker = maker_of(json);
    record.config_fingerprint = json.value("config_fingerprint", record.config_fingerprint);
    record.results_version = json.value("results_version", record.results_version);
    return record;
  } catch (const nlohmann::json::exception& error) {
    throw InputError(path.string() + ": is not a run record of cdsp: " + error.what());
  }
}

void require_resumable(const fs::path& directory, const Config& config,
                       const std::string& data_fingerprint) {
  auto record = read_run_record(directory);
  if (record && record->checkpoint_step) record->input_files.erase("train.init_from");
  require_same_run(directory, record, config, data_fingerprint);
}

RunState inspect_run(const fs::path& directory, const Config& config,
                     const std::string& data_fingerprint) {
  if (!fs::exists(directory / "config.yaml")) {
    std::error_code code;
    if (fs::is_directory(directory, code) && holds_files(directory)) {
      throw InputError(directory.string() +
                       ": is not empty and holds no run; choose another --out");
    }
    return RunState::kAbsent;
  }
  const auto record = read_run_record(directory);
  require_same_run(directory, record, config, data_fingerprint);
  if (!record) return RunState::kUnfinished;
  return record->status == "finished" ? RunState::kFinished : RunState::kUnfinished;
}

}  // namespace cdsp
