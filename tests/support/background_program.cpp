#include "support/background_program.h"

#include <chrono>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic_file.h"

namespace cdsp::test {
namespace {

/// Gives `descriptor` to the file of that name. Only what a forked child may call.
void redirect(const char* path, int flags, int descriptor) {
  const int file = ::open(path, flags, 0600);
  if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(126);
}

}  // namespace

BackgroundProgram::BackgroundProgram(const std::vector<std::string>& arguments,
                                     const Surroundings& surroundings) {
  std::vector<std::string> words = {surroundings.program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string output = files_.path() / "output", errors = files_.path() / "errors";
  const std::string folder = surroundings.folder.string();

  process_ = ::fork();
  if (process_ < 0) throw std::runtime_error("no process can be started");
  if (process_ > 0) return;
  redirect("/dev/null", O_RDONLY, STDIN_FILENO);
  redirect(output.c_str(), O_WRONLY | O_CREAT, STDOUT_FILENO);
  redirect(errors.c_str(), O_WRONLY | O_CREAT, STDERR_FILENO);
  if (surroundings.file_size_limit) {
    const rlimit limit{*surroundings.file_size_limit, *surroundings.file_size_limit};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(126);
  }
  if (::chdir(folder.c_str()) != 0) ::_exit(126);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

BackgroundProgram::~BackgroundProgram() {
  if (has_ended()) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

void BackgroundProgram::send(int signal) const { ::kill(process_, signal); }

bool BackgroundProgram::has_ended() {
  int status = 0;
  if (!status_ && ::waitpid(process_, &status, WNOHANG) == process_) status_ = status;
  return status_.has_value();
}

bool BackgroundProgram::wait_until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (has_ended() || std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

ProgramResult BackgroundProgram::wait() {
  int status = 0;
  if (!status_ && ::waitpid(process_, &status, 0) == process_) status_ = status;
  ProgramResult result;
  if (status_ && WIFEXITED(*status_)) result.exit_code = WEXITSTATUS(*status_);
  result.output = read_file(files_.path() / "output");
  result.errors = read_file(files_.path() / "errors");
  return result;
}

std::vector<ProgramResult> run_programs(const std::vector<std::vector<std::string>>& commands,
                                        const Surroundings& surroundings) {
  std::vector<ProgramResult> results;
  std::unique_ptr<BackgroundProgram> earlier;
  for (const auto& arguments : commands) {
    auto next = std::make_unique<BackgroundProgram>(arguments, surroundings);
    if (earlier) results.push_back(earlier->wait());
    earlier = std::move(next);
  }
  if (earlier) results.push_back(earlier->wait());
  return results;
}

ProgramResult run_program_in(const Surroundings& surroundings,
                             const std::vector<std::string>& arguments) {
  return BackgroundProgram(arguments, surroundings).wait();
}

}  // namespace cdsp::test
