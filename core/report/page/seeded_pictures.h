// Heatmaps of which there is one for each seed, behind one choice of the seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/page/figure_set.h"

namespace cdsp::page {

/// One picture and what it shows for every seed.
struct SeededPicture {
  std::string file, title, subtitle;    // the subtitle without the seed
  std::vector<std::string> tasks = {};  // the rows of a routing table; empty: experts by experts
  MatrixKind kind = MatrixKind::kOverlap;
  std::vector<RoutingRows> of_seeds = {};  // empty where the seed has none
};

class SeededPictures {
 public:
  explicit SeededPictures(std::vector<uint64_t> seeds) : seeds_(std::move(seeds)) {}

  /// Draws the picture of the first seed that has one; nothing if none has.
  void add(const SeededPicture& picture, FigureSet& figures);
  /// What follows stands below what came before.
  void begin_row();
  bool empty() const { return panels_.empty(); }
  /// Without JavaScript the first seed is seen.
  Html html();

 private:
  std::vector<uint64_t> seeds_;
  std::vector<std::string> panels_;  // as JSON
  Html row_, rows_;
};

/// A form's options for these seeds.
Html seed_options(const std::vector<uint64_t>& seeds);

}  // namespace cdsp::page
