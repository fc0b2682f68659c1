// Routing tables as a picture: an SVG that stands on its own, with selectable text, a description
// for screen readers and its own background, so that it reads the same on light and dark pages.
#pragma once

#include <string>
#include <vector>

#include "eval/routing_measures.h"

namespace cdsp {

struct HeatmapPanel {
  std::string title;   // "CDSP, informed"
  RoutingRows shares;  // [task][expert]
};

struct HeatmapPicture {
  std::string title;
  std::string subtitle;
  std::vector<std::string> tasks;
  std::vector<HeatmapPanel> panels;  // filled row by row
  size_t columns = 2;                // panels side by side
};

/// Every panel on the same viridis scale, from 0 to the largest share rounded up to a tenth.
std::string routing_heatmap_svg(const HeatmapPicture& picture);

}  // namespace cdsp
