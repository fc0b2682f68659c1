#include "report/routing_heatmap_svg.h"

#include <algorithm>

#include "report/figures/matrix_heatmap.h"
#include "report/terminal_heatmap.h"

namespace cdsp {

std::string routing_heatmap_svg(const HeatmapPicture& picture) {
  MatrixHeatmap heatmap;
  heatmap.title = picture.title;
  heatmap.subtitle = picture.subtitle;
  heatmap.legend = "Share of a task's selections (rows sum to 1)";
  heatmap.rows = picture.tasks;
  heatmap.columns = picture.columns;
  double largest = 0.1;
  for (const HeatmapPanel& panel : picture.panels) {
    largest = std::max(largest, largest_share(panel.shares));
    heatmap.panels.push_back({panel.title, panel.shares});
    heatmap.description +=
        panel.title + ": " + preferences_in_words(panel.shares, picture.tasks) + ". ";
  }
  heatmap.largest = scale_end(largest);
  return matrix_heatmap_svg(heatmap);
}

}  // namespace cdsp
