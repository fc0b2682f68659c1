// cdsp data: downloads the public data sets and says what data files hold.
#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/output.h"
#include "base/error.h"
#include "base/json_text.h"
#include "data/fetch.h"
#include "data/originals.h"
#include "data/verify.h"
#include "report/text_table.h"

namespace cdsp::app {
namespace {

using Json = nlohmann::ordered_json;

struct DataArguments {
  std::string root = "data";
  std::vector<std::string> tasks;
  std::vector<std::string> mirrors;
};

// ---- fetch ----

std::vector<const OriginalTask*> chosen_tasks(const std::vector<std::string>& names) {
  std::vector<const OriginalTask*> tasks;
  std::string allowed;
  for (const OriginalTask& task : original_tasks()) {
    allowed += (allowed.empty() ? "" : ", ") + std::string(task.name);
    if (names.empty()) tasks.push_back(&task);
  }
  for (const std::string& name : names) {
    const OriginalTask* task = find_original_task(name);
    if (task == nullptr) throw InputError("--task: found \"" + name + "\"; allowed: " + allowed);
    if (std::find(tasks.begin(), tasks.end(), task) == tasks.end()) tasks.push_back(task);
  }
  return tasks;
}

/// The user's mirrors, which hold a folder per task, before the task's own.
std::vector<std::string> mirrors_for(const OriginalTask& task,
                                     const std::vector<std::string>& from_user) {
  std::vector<std::string> mirrors;
  for (std::string mirror : from_user) {
    while (!mirror.empty() && mirror.back() == '/') mirror.pop_back();
    mirrors.push_back(mirror + "/" + task.name);
  }
  mirrors.insert(mirrors.end(), task.mirrors.begin(), task.mirrors.end());
  return mirrors;
}

int fetch(const DataArguments& arguments, bool as_json) {
  FetchOptions options;
  options.report = [](const std::string& line) { spdlog::info("{}", line); };
  Json files = Json::array(), credits = Json::array();
  std::string text =
      "These data sets belong to their authors; credit them, and keep to their licences:\n";
  std::exception_ptr first_failure;
  for (const OriginalTask* task : chosen_tasks(arguments.tasks)) {
    const std::filesystem::path folder = std::filesystem::path(arguments.root) / task->name;
    for (const RemoteFile& file : remote_files(*task)) {
      Json result = {{"task", task->name}, {"file", file.name}, {"status", "failed"}};
      try {
        result["status"] =
            to_string(fetch_file(file, mirrors_for(*task, arguments.mirrors), folder, options));
      } catch (const std::runtime_error& error) {
        result["reason"] = error.what();
        if (first_failure) {
          spdlog::warn("{}", error.what());
        } else {
          first_failure = std::current_exception();  // ends the command and is told there
        }
      }
      if (!as_json) {
        print_result(std::string(task->name) + "/" + file.name + ": " +
                     result["status"].get<std::string>() + "\n");
      }
      files.push_back(result);
    }
    credits.push_back(task->credit);
    text += std::string("  ") + task->credit + "\n";
  }
  print_result(
      as_json
          ? json_text(Json{{"root", arguments.root}, {"files", files}, {"credits", credits}}, 2) +
                "\n"
          : text);
  if (first_failure) std::rethrow_exception(first_failure);
  return 0;
}

void add_fetch(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand(
      "fetch", "Download MNIST, KMNIST and Fashion-MNIST, checked by their sums");
  command->footer(
      "A broken download goes on where it stopped. Files that are there already are kept.\n\n"
      "Example:\n  cdsp data fetch --root data --task mnist --task kmnist");
  auto arguments = std::make_shared<DataArguments>();
  command->add_option("--root", arguments->root, "Folder that the tasks' folders are in")
      ->capture_default_str()
      ->type_name("DIR");
  command->add_option("--task", arguments->tasks, "Only this data set; may be given again")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      ->add_option("--mirror", arguments->mirrors,
                   "Try URL/TASK/FILE before the built-in mirrors; may be given again")
      ->type_name("URL")
      ->allow_extra_args(false);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return fetch(*arguments, global.json); };
  });
}

// ---- verify ----

Json to_json(const FileReport& file) {
  Json json = {{"path", file.path.string()},
               {"shape", file.shape},
               {"md5", file.md5},
               {"origin", to_string(file.origin)}};
  if (file.original_items > 0) json["original_items"] = file.original_items;
  return json;
}

Json to_json(const std::vector<TaskReport>& reports) {
  Json tasks = Json::array();
  for (const TaskReport& report : reports) {
    Json splits = Json::array();
    for (const SplitReport& split : report.splits) {
      splits.push_back({{"split", split.split},
                        {"images", to_json(split.images)},
                        {"labels", to_json(split.labels)},
                        {"class_counts", split.class_counts}});
    }
    tasks.push_back({{"task", report.task}, {"splits", splits}, {"problems", report.problems}});
  }
  return tasks;
}

std::string origin_text(const FileReport& file) {
  std::string text = to_string(file.origin);
  if (file.origin != FileOrigin::kOther || file.shape[0] == file.original_items) return text;
  return text + ", which has " + std::to_string(file.original_items);
}

std::vector<std::string> table_row(const TaskReport& task, const SplitReport& split) {
  const auto [fewest, most] =
      std::minmax_element(split.class_counts.begin(), split.class_counts.end());
  const auto& shape = split.images.shape;
  return {task.task,
          split.split,
          std::to_string(shape[0]),
          std::to_string(shape[1]) + "x" + std::to_string(shape[2]),
          "0-" + std::to_string(split.class_counts.size() - 1),
          std::to_string(*fewest) + "-" + std::to_string(*most),
          origin_text(split.images),
          origin_text(split.labels)};
}

int verify(const DataArguments& arguments, bool as_json) {
  const std::vector<TaskReport> reports = verify_data(arguments.root, arguments.tasks);
  std::vector<std::string> problems;
  TextTable table(
      {"task", "split", "images", "pixels", "labels", "per class", "image file", "label file"});
  bool any_read = false;
  for (const TaskReport& report : reports) {
    any_read |= !report.splits.empty();
    for (const SplitReport& split : report.splits) table.add_row(table_row(report, split));
    problems.insert(problems.end(), report.problems.begin(), report.problems.end());
  }
  if (as_json) {
    print_result(json_text(to_json(reports), 2) + "\n");
  } else if (any_read) {
    print_result(table.text());
  }
  if (problems.empty()) return 0;
  for (size_t i = 1; i < problems.size(); ++i) spdlog::error("{}", problems[i]);
  throw InputError(problems.front());
}

void add_verify(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand("verify", "Read data files through and say what they hold");
  command->footer(
      "\"original\": the published file; \"packed again\": its content in other packing; \"not the "
      "original\":\n"
      "other content under that name, a part of it for example. None of them is a mistake; files "
      "that are\n"
      "damaged or do not fit together are, with exit code 2.\n\n"
      "Example:\n  cdsp data verify --root data --json");
  auto arguments = std::make_shared<DataArguments>();
  command->add_option("--root", arguments->root, "Folder that the tasks' folders are in")
      ->capture_default_str()
      ->type_name("DIR");
  command
      ->add_option("--task", arguments->tasks,
                   "Only this task's folder; may be given again (default: all)")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return verify(*arguments, global.json); };
  });
}

}  // namespace

void add_data(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("data", "Download and check data sets");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp data fetch\n  cdsp data verify");
  add_fetch(*command, global, action);
  add_verify(*command, global, action);
}

}  // namespace cdsp::app
