// Task `objects`: ten filled silhouettes, clothes and household things, each in a random cloth or
// finish.
#include <algorithm>
#include <cmath>
#include <vector>

#include "data/glyph_canvas.h"
#include "data/glyph_figures.h"

namespace cdsp {
namespace {

struct Silhouette {
  std::vector<Path> outlines;  // an outline within another is a hole
  bool smooth;                 // corners rounded to a closed curve
};

/// The right half of an outline, from top to bottom, completed by its mirror image.
Path mirrored(const Path& right_half) {
  Path outline = right_half;
  for (auto point = right_half.rbegin(); point != right_half.rend(); ++point) {
    if (point->x > 0.0) outline.push_back({-point->x, point->y});
  }
  return outline;
}

/// In the order of the task's class names.
const std::vector<Silhouette>& silhouettes() {
  // clang-format off
  static const std::vector<Silhouette> table = {
      /* shirt    */ {{mirrored({{0.0, -0.65}, {0.2, -0.8}, {0.5, -0.75}, {1.0, -0.25}, {0.75, 0.1},
                                 {0.5, -0.15}, {0.5, 0.85}})}, false},
      /* trousers */ {{mirrored({{0.45, -0.95}, {0.6, 0.95}, {0.2, 0.95}, {0.0, -0.35}})}, false},
      /* dress    */ {{mirrored({{0.0, -0.7}, {0.15, -0.75}, {0.2, -0.95}, {0.35, -0.95}, {0.3, -0.2},
                                 {0.75, 0.95}})}, false},
      /* boot     */ {{{{-0.5, -0.9}, {0.1, -0.9}, {0.15, 0.2}, {0.7, 0.4}, {0.85, 0.85}, {-0.5, 0.85}}}, false},
      /* hat      */ {{mirrored({{0.0, -0.55}, {0.4, -0.6}, {0.5, 0.15}, {1.0, 0.25}, {0.85, 0.5}, {0.0, 0.55}})},
                      true},
      /* bag      */ {{mirrored({{0.0, -0.9}, {0.35, -0.75}, {0.5, -0.25}, {0.75, -0.2}, {0.85, 0.85}}),
                       mirrored({{0.0, -0.65}, {0.2, -0.6}, {0.3, -0.25}})}, false},
      /* mug      */ {{{{-0.75, -0.7}, {0.35, -0.7}, {0.35, -0.5}, {0.75, -0.5}, {0.9, -0.1}, {0.75, 0.35},
                        {0.35, 0.45}, {0.3, 0.75}, {-0.7, 0.75}},
                       {{0.35, -0.25}, {0.6, -0.25}, {0.65, -0.1}, {0.55, 0.15}, {0.35, 0.2}}}, false},
      /* bottle   */ {{mirrored({{0.18, -1.0}, {0.18, -0.45}, {0.45, -0.1}, {0.45, 0.95}})}, false},
      /* umbrella */ {{mirrored({{0.0, -0.9}, {0.5, -0.7}, {0.85, -0.35}, {0.95, 0.05}, {0.6, -0.1}, {0.1, 0.05},
                                 {0.09, 0.95}})}, false},
      /* fish     */ {{{{-0.95, 0.0}, {-0.5, -0.4}, {0.1, -0.45}, {0.5, -0.1}, {0.95, -0.5}, {0.85, 0.0},
                        {0.95, 0.5}, {0.5, 0.1}, {0.1, 0.45}, {-0.5, 0.4}}}, true},
  };
  // clang-format on
  return table;
}

constexpr PoseRange kPoses{/*rotation=*/0.15, /*scale_low=*/0.7, /*scale_high=*/0.95,
                           /*stretch=*/1.25,  /*shear=*/0.15,
                           /*shift=*/3.0,     /*wobble=*/0.04};

/// A pattern over the picture, in [1 - depth, 1]; soft-edged, so that rounding cannot move whole
/// pixels.
class Texture {
 public:
  explicit Texture(RandomStream& stream)
      : kind_(static_cast<Kind>(stream.below(5))),
        depth_(stream.uniform(0.2, 0.6)),
        frequency_(stream.uniform(1.0, 2.1)),
        phase_x_(stream.uniform(0.0, 6.28)),
        phase_y_(stream.uniform(0.0, 6.28)) {
    const double angle = stream.uniform(0.0, 3.14);
    cosine_ = std::cos(angle);
    sine_ = std::sin(angle);
  }

  double operator()(double x, double y) const { return 1.0 - depth_ * (0.5 - 0.5 * wave(x, y)); }

 private:
  enum class Kind { kPlain, kStripes, kChecks, kDots, kGradient };

  /// -1 = dark, 1 = light.
  double wave(double x, double y) const {
    const double along = cosine_ * x + sine_ * y;
    const double across = cosine_ * y - sine_ * x;
    switch (kind_) {
      case Kind::kPlain:
        return 0.6;
      case Kind::kStripes:
        return crisp(std::sin(frequency_ * along + phase_x_));
      case Kind::kChecks:
        return crisp(std::sin(frequency_ * along + phase_x_) *
                     std::sin(frequency_ * across + phase_y_));
      case Kind::kDots:
        return crisp(std::sin(frequency_ * along + phase_x_) +
                     std::sin(frequency_ * across + phase_y_) + 0.6);
      case Kind::kGradient:
        return std::sin(0.14 * along + phase_x_);
    }
    return 0.0;
  }
  static double crisp(double value) { return std::clamp(2.5 * value, -1.0, 1.0); }

  Kind kind_;
  double depth_, frequency_, phase_x_, phase_y_;
  double cosine_ = 1.0, sine_ = 0.0;
};

}  // namespace

void draw_objects(int64_t label, RandomStream& stream, uint8_t* bytes) {
  const Pose pose(kPoses, stream);
  const double facing = stream.below(2) == 0 ? 1.0 : -1.0;
  const Silhouette& silhouette = silhouettes()[static_cast<size_t>(label)];
  std::vector<Path> outlines;
  for (const Path& outline : silhouette.outlines) {
    Path shape = shaken(outline, 0.035, stream);
    for (Point& point : shape) point.x *= facing;
    if (silhouette.smooth) {
      shape = smooth_curve(shape, /*closed=*/true);
    } else {
      shape.push_back(shape.front());
    }
    outlines.push_back(pose.to_pixels(shape));
  }
  const Texture texture(stream);
  Canvas canvas;
  canvas.fill(outlines);
  canvas.shade(texture);
  const double brightness = stream.uniform(0.6, 1.0);
  const double noise = stream.uniform(0.0, 0.06);
  canvas.write(brightness, noise, stream, bytes);
}

}  // namespace cdsp
