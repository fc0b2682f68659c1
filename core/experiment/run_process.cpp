#include "experiment/run_process.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

extern char** environ;

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr int kCannotStart = 127;
constexpr size_t kKeptErrors = 8192;  // bytes; the last ones say why it ended
constexpr auto kPatience = std::chrono::seconds(30);

/// Words or settings as execve takes them.
class CStrings {
 public:
  explicit CStrings(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (std::string& text : texts_) pointers_.push_back(text.data());
    pointers_.push_back(nullptr);
  }
  char* const* get() { return pointers_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<char*> pointers_;
};

std::vector<std::string> environment_with_threads(int64_t threads) {
  const std::string name = "OMP_NUM_THREADS=";
  std::vector<std::string> settings;
  for (char** setting = environ; *setting != nullptr; ++setting) {
    if (std::strncmp(*setting, name.c_str(), name.size()) != 0) settings.emplace_back(*setting);
  }
  settings.push_back(name + std::to_string(threads));
  return settings;
}

struct Pipe {
  int read = -1, write = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw WorkError(std::string("a run cannot be started: ") + std::strerror(errno));
    read = ends[0];
    write = ends[1];
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_read();
    close_write();
  }
  void close_read() { close(read); }
  void close_write() { close(write); }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
};

class Process : public StageAtWork {
 public:
  Process(const fs::path& binary, std::vector<std::string> words, const std::string& input,
          int64_t threads) {
    words.insert(words.begin(), binary.string());
    CStrings arguments(std::move(words)), settings(environment_with_threads(threads));
    Pipe to_child;
    const pid_t parent = ::getpid();
    // Until the child has its own program, no signal may end in this one's handlers.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    process_ = ::fork();
    if (process_ == 0) {
      for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      become(binary, arguments, settings, to_child.read, errors_.write, parent);
    }
    const int problem = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (process_ < 0)
      throw WorkError(std::string("a run cannot be started: ") + std::strerror(problem));
    errors_.close_write();
    to_child.close_read();
    ::fcntl(errors_.read, F_SETFL, O_NONBLOCK);
    // A pipe holds 64 KiB, a config is two. Should the process be gone already, its end says why.
    const ssize_t written = ::write(to_child.write, input.data(), input.size());
    static_cast<void>(written);
  }

  ~Process() override {
    if (process_ < 0) return;
    ::kill(process_, SIGTERM);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!poll()) {
      if (std::chrono::steady_clock::now() > deadline) ::kill(process_, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  std::optional<StageEnd> poll() override {
    int status = 0;
    const pid_t ended = ::waitpid(process_, &status, WNOHANG);
    read_errors();
    if (ended != process_) return std::nullopt;
    process_ = -1;
    return end_of(status);
  }

  void stop(int signal) override {
    stop_asked_ = true;
    if (process_ > 0) ::kill(process_, signal);
  }

 private:
  /// The child's way to the program. Between fork and exec only calls that a signal handler might
  /// make, too: another thread may have held any lock.
  [[noreturn]] static void become(const fs::path& binary, CStrings& arguments, CStrings& settings,
                                  int input, int errors, pid_t parent) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(kCannotStart);  // it was gone before the line above
    const int nowhere = ::open("/dev/null", O_WRONLY);
    if (::dup2(input, STDIN_FILENO) >= 0 && ::dup2(nowhere, STDOUT_FILENO) >= 0 &&
        ::dup2(errors, STDERR_FILENO) >= 0) {
      ::execve(binary.c_str(), arguments.get(), settings.get());
    }
    ::_exit(kCannotStart);
  }

  void read_errors() {
    char bytes[1024];
    for (ssize_t count = 0; (count = ::read(errors_.read, bytes, sizeof bytes)) > 0;) {
      said_.append(bytes, static_cast<size_t>(count));
      if (said_.size() > kKeptErrors) said_.erase(0, said_.size() - kKeptErrors);
    }
  }

  /// The line of the error that ended the process, else the last it wrote.
  std::string last_words() const {
    const std::string mark = "cdsp: error: ";
    const size_t error = said_.rfind(mark);
    if (error != std::string::npos) {
      const size_t start = error + mark.size();
      return said_.substr(start, said_.find('\n', start) - start);
    }
    const size_t last = said_.find_last_not_of('\n');
    if (last == std::string::npos) return "";
    const size_t before = said_.find_last_of('\n', last);
    const size_t start = before == std::string::npos ? 0 : before + 1;
    return said_.substr(start, last + 1 - start);
  }

  StageEnd end_of(int status) const {
    StageEnd end;
    const bool by_signal = WIFSIGNALED(status);
    const int number = by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    if (!by_signal && number == 0) return end;
    const int signal = by_signal ? number : number - 128;
    if (stop_asked_ && (signal == SIGINT || signal == SIGTERM)) {
      end.kind = StageEnd::Kind::kStopped;
      return end;
    }
    end.kind = StageEnd::Kind::kFailed;
    end.is_input_error = !by_signal && number == kExitBadInput;
    const std::string words = last_words();
    if (by_signal) {
      end.message = "its process was ended by signal " + std::to_string(number) + " (" +
                    ::strsignal(number) + ")" + (words.empty() ? "" : ": " + words);
    } else if (number == kCannotStart) {
      end.message = "its process cannot be started";
    } else {
      end.message =
          words.empty() ? "its process ended with exit code " + std::to_string(number) : words;
    }
    return end;
  }

  Pipe errors_;
  pid_t process_ = -1;
  std::string said_;
  bool stop_asked_ = false;
};

}  // namespace

RunLauncher launch_processes(const fs::path& binary) {
  return [binary](const PlannedRun& run, RunStage stage, int64_t threads) {
    if (stage == RunStage::kEvaluate) {
      return std::make_unique<Process>(
          binary,
          std::vector<std::string>{"blind-eval", "--quiet", "--run", run.folder.string(),
                                   "--protocol", "informed,blind", "--device",
                                   run.config.train.device, "--set",
                                   "train.threads=" + std::to_string(run.config.train.threads)},
          "", threads);
    }
    std::vector<std::string> words = {"train",      "--quiet", "--config",
                                      "/dev/stdin", "--out",   run.folder.string()};
    if (run.state == RunState::kUnfinished) words.emplace_back("--resume");
    return std::make_unique<Process>(binary, words, to_yaml(run.config), threads);
  };
}

}  // namespace cdsp
