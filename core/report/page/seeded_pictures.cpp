#include "report/page/seeded_pictures.h"

#include "report/page/page_numbers.h"

namespace cdsp::page {
namespace {

using Json = nlohmann::ordered_json;

bool same_shape(const RoutingRows& a, const RoutingRows& b) {
  return a.size() == b.size() && !a.empty() && a.front().size() == b.front().size();
}

}  // namespace

void SeededPictures::add(const SeededPicture& picture, FigureSet& figures) {
  size_t first = 0;
  while (first < picture.of_seeds.size() && picture.of_seeds[first].empty()) ++first;
  if (first == picture.of_seeds.size()) return;
  const RoutingRows& shown = picture.of_seeds[first];
  const bool routing = !picture.tasks.empty();
  MatrixLook look = matrix_look(picture.kind, 1);
  if (routing) look = {figures.routing_scale(), 2};
  const std::string subtitle = picture.subtitle + ", seed " + std::to_string(seeds_[first]);
  row_ += figures.add(
      picture.file, routing ? routing_svg(picture.title, subtitle, shown, picture.tasks, look.scale)
                            : matrix_svg(picture.kind, picture.title, subtitle, shown, look));
  Json panel;
  panel["subtitle"] = picture.subtitle;
  panel["scale"] = look.scale;
  panel["decimals"] = look.decimals;
  panel["columns"] = shown.front().size();
  if (routing) panel["rows"] = picture.tasks;
  for (const RoutingRows& rows : picture.of_seeds) {
    panel["values"].push_back(same_shape(rows, shown) ? cell_numbers(rows) : Json(nullptr));
  }
  panels_.push_back(panel.dump());
}

void SeededPictures::begin_row() {
  if (!row_.empty()) rows_ += fill("pair", {{"figures", row_}});
  row_ = {};
}

Html SeededPictures::html() {
  begin_row();
  if (seeds_.size() < 2 || panels_.empty()) return rows_;
  Json numbers;
  // As text: a script's numbers tell seeds apart up to 2^53 only.
  for (const uint64_t seed : seeds_) numbers["seeds"].push_back(std::to_string(seed));
  for (const std::string& panel : panels_) numbers["panels"].push_back(Json::parse(panel));
  return fill(
      "seeded",
      {{"options", seed_options(seeds_)}, {"figures", rows_}, {"numbers", script_json(numbers)}});
}

Html seed_options(const std::vector<uint64_t>& seeds) {
  Html options;
  for (const uint64_t seed : seeds) {
    const std::string text = std::to_string(seed);
    options += fill("option", {{"value", text}, {"label", text}});
  }
  return options;
}

}  // namespace cdsp::page
