// An experiment's folder in the making.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/csv.h"
#include "experiment/comparison.h"

namespace cdsp {

/// A table to show: cells as text, empty where there is nothing.
struct ShownTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

class ExperimentFolder {
 public:
  ExperimentFolder(std::string id, std::string title, std::string text);

  /// A CSV file with one sentence on what a row is.
  void add_csv(const std::string& name, const std::string& content, const std::string& text);
  void add_table(ShownTable table) { tables_.push_back(std::move(table)); }
  void set_arms(std::vector<std::string> arms) { arms_ = std::move(arms); }

  /// Writes OUT/experiments/ID anew and returns it.
  std::filesystem::path write(const std::filesystem::path& out, const Comparison& comparison) const;

 private:
  struct File {
    std::string name, content, text;
  };
  std::string id_, title_, text_;
  std::vector<std::string> arms_;
  std::vector<File> files_;
  std::vector<ShownTable> tables_;
};

/// The runs of an arm.
std::vector<const ComparedRun*> runs_of(const Comparison& comparison, const std::string& arm);

/// "0.123", with so many decimals; "" if it is not finite.
std::string cell(double value, int decimals = 3);
/// "0.123 [0.100, 0.146]", all times `scale`; without an interval the mean alone.
std::string cell(const Spread& spread, int decimals = 3, double scale = 1);

/// Routing tables of all layers as CSV rows "KEYS,layer,task,expert_0,...".
std::string routing_rows(const std::string& keys, const RoutingTable& routing,
                         const std::vector<std::string>& tasks);
std::string routing_columns(const std::string& keys, const RoutingTable& routing);

// Experiment I, II and III; each returns the folder it wrote, or an empty path where its arm is
// missing.
std::filesystem::path write_modularity(const Comparison& comparison,
                                       const std::filesystem::path& out);
std::filesystem::path write_overfitting(const Comparison& comparison,
                                        const std::filesystem::path& out);
std::filesystem::path write_necessity(const Comparison& comparison,
                                      const std::filesystem::path& out);

}  // namespace cdsp
