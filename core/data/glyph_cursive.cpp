// Task `cursive`: ten flowing curves with loops, drawn in one line with a broad-nibbed pen.
#include <cmath>
#include <vector>

#include "data/glyph_canvas.h"
#include "data/glyph_figures.h"

namespace cdsp {
namespace {

struct Curve {
  Path knots;
  bool closed;
};

/// In the order of the task's class names.
const std::vector<Curve>& curves() {
  // clang-format off
  static const std::vector<Curve> table = {
      /* spiral    */ {{{0.05, 0.05}, {0.3, -0.1}, {0.1, -0.4}, {-0.35, -0.3}, {-0.5, 0.15}, {-0.15, 0.6},
                        {0.45, 0.5}, {0.8, -0.05}, {0.5, -0.75}, {-0.2, -0.95}, {-0.85, -0.55}}, false},
      /* infinity  */ {{{0.0, 0.0}, {0.45, -0.5}, {0.95, -0.2}, {0.8, 0.4}, {0.4, 0.4}, {0.0, 0.0},
                        {-0.45, -0.5}, {-0.95, -0.2}, {-0.8, 0.4}, {-0.4, 0.4}}, true},
      /* ribbon    */ {{{-0.75, 1.0}, {-0.2, 0.3}, {0.4, -0.4}, {0.25, -0.95}, {-0.25, -0.95}, {-0.4, -0.4},
                        {0.2, 0.3}, {0.75, 1.0}}, false},
      /* coil      */ {{{-1.0, 0.4}, {-0.55, 0.3}, {-0.25, -0.3}, {-0.5, -0.6}, {-0.7, -0.2}, {-0.35, 0.4},
                        {0.1, 0.3}, {0.4, -0.3}, {0.15, -0.6}, {-0.05, -0.2}, {0.3, 0.4}, {0.7, 0.3},
                        {0.95, -0.1}}, false},
      /* swan      */ {{{0.55, -0.75}, {0.15, -1.0}, {-0.3, -0.75}, {-0.15, -0.25}, {0.35, 0.15}, {0.45, 0.7},
                        {0.0, 1.0}, {-0.5, 0.75}, {-0.4, 0.3}, {0.1, 0.3}, {0.8, 0.5}}, false},
      /* three     */ {{{-0.55, -0.7}, {-0.05, -1.0}, {0.4, -0.7}, {0.25, -0.2}, {-0.15, 0.0}, {-0.3, -0.2},
                        {0.0, -0.2}, {0.5, 0.15}, {0.45, 0.75}, {-0.05, 1.0}, {-0.6, 0.7}}, false},
      /* loop      */ {{{-0.7, 0.55}, {-0.1, 0.35}, {0.4, -0.3}, {0.35, -0.9}, {0.0, -0.95}, {-0.2, -0.4},
                        {-0.15, 0.5}, {0.2, 0.95}, {0.65, 0.65}}, false},
      /* trefoil   */ {{{0.0, -0.15}, {0.4, -0.55}, {0.0, -1.0}, {-0.4, -0.55}, {-0.1, 0.05}, {-0.5, 0.0},
                        {-0.95, 0.35}, {-0.55, 0.8}, {-0.1, 0.35}, {0.1, 0.05}, {0.15, 0.4}, {0.6, 0.8},
                        {0.95, 0.3}, {0.5, 0.0}}, true},
      /* wave      */ {{{-1.0, -0.4}, {-0.75, 0.3}, {-0.45, 0.65}, {-0.2, 0.2}, {0.0, -0.6}, {0.2, 0.2},
                        {0.45, 0.65}, {0.75, 0.3}, {1.0, -0.4}}, false},
      /* ampersand */ {{{0.75, 0.95}, {0.1, 0.2}, {-0.35, -0.5}, {-0.1, -0.95}, {0.25, -0.7}, {0.0, -0.2},
                        {-0.55, 0.3}, {-0.45, 0.85}, {0.1, 0.95}, {0.55, 0.5}, {0.75, 0.1}}, false},
  };
  // clang-format on
  return table;
}

constexpr PoseRange kPoses{/*rotation=*/0.15, /*scale_low=*/0.7, /*scale_high=*/0.95,
                           /*stretch=*/1.25,  /*shear=*/0.15,
                           /*shift=*/3.5,     /*wobble=*/0.04};

/// A broad nib held at `nib_angle` draws wide across its edge and thin along it.
std::vector<double> broad_pen(const Path& path, double radius, double nib_angle) {
  std::vector<double> radii;
  for (size_t i = 0; i < path.size(); ++i) {
    const Point before = path[i == 0 ? 0 : i - 1];
    const Point after = path[i + 1 == path.size() ? i : i + 1];
    const double direction = std::atan2(after.y - before.y, after.x - before.x);
    radii.push_back(radius * (0.6 + 0.7 * std::abs(std::sin(direction - nib_angle))));
  }
  return radii;
}

}  // namespace

void draw_cursive(int64_t label, RandomStream& stream, uint8_t* bytes) {
  const Pose pose(kPoses, stream);
  const double radius = stream.uniform(0.75, 1.35);
  const double nib_angle = stream.uniform(-0.9, -0.3);
  const Curve& curve = curves()[static_cast<size_t>(label)];
  const Path path = pose.to_pixels(smooth_curve(shaken(curve.knots, 0.06, stream), curve.closed));
  Canvas canvas;
  canvas.stroke(path, broad_pen(path, radius, nib_angle));
  const double brightness = stream.uniform(0.65, 1.0);
  const double noise = stream.uniform(0.0, 0.06);
  canvas.write(brightness, noise, stream, bytes);
}

}  // namespace cdsp
