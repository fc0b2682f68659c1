// The drawing tools of the embedded data set: paths, a pose that no two images share, and a small
// grey canvas.
//
// A figure is described in its own units: x to the right, y down, both roughly in [-1, 1]. Pose
// turns that into pixel units, where pixel (column, row) covers the square [column, column + 1) x
// [row, row + 1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/random.h"

namespace cdsp {

struct Point {
  double x = 0.0;
  double y = 0.0;
};

using Path = std::vector<Point>;

inline constexpr int64_t kGlyphSize = 28;  // pixels; width and height of every drawn image

/// A smooth curve through `knots` (Catmull-Rom), `steps` points for each piece. A closed curve
/// returns to its first knot; its last point equals its first.
Path smooth_curve(const Path& knots, bool closed, int steps = 8);

/// The path with each corner moved by its own normal offset of standard deviation `amount`.
Path shaken(Path path, double amount, RandomStream& stream);

/// How far poses of a task may stray from the upright, centred figure.
struct PoseRange {
  double rotation;   // radians, either way
  double scale_low;  // of the figure's [-1, 1] box, whose half-width is 10 pixels at scale 1
  double scale_high;
  double stretch;  // width over height strays by this factor, either way
  double shear;
  double shift;   // pixels, either way
  double wobble;  // amplitude of the elastic bending, figure units
};

/// One random affine map together with a smooth elastic bending.
class Pose {
 public:
  Pose(const PoseRange& range, RandomStream& stream);

  Point to_pixels(Point point) const;
  /// Splits long straight pieces first, so that they bend too.
  Path to_pixels(const Path& path) const;

 private:
  struct Wave {
    double frequency_x, frequency_y, phase, amplitude_x, amplitude_y;
  };
  std::array<Wave, 3> waves_{};
  double xx_ = 1.0, xy_ = 0.0, yx_ = 0.0, yy_ = 1.0;
  Point centre_;
};

/// Shades in [0, 1] on kGlyphSize x kGlyphSize pixels; 0 is the dark ground.
class Canvas {
 public:
  /// Draws along `path` (pixel units) with a round pen; `radii` gives the pen's radius at each
  /// point. Where strokes cross, the lighter shade stays.
  void stroke(const Path& path, const std::vector<double>& radii);
  void stroke(const Path& path, double radius);

  /// Fills the inside of closed `outlines` (pixel units, even-odd rule: an outline within another
  /// is a hole).
  void fill(const std::vector<Path>& outlines);

  /// Multiplies every pixel by shade(x, y) of its centre.
  template <typename Shade>
  void shade(Shade&& shade_at) {
    for (int64_t row = 0; row < kGlyphSize; ++row) {
      for (int64_t column = 0; column < kGlyphSize; ++column) {
        double& pixel = at(column, row);
        if (pixel > 0.0)
          pixel *= shade_at(static_cast<double>(column) + 0.5, static_cast<double>(row) + 0.5);
      }
    }
  }

  /// Adds normal noise, clamps and writes bytes, row-major, kGlyphSize * kGlyphSize of them.
  void write(double brightness, double noise, RandomStream& stream, uint8_t* bytes) const;

 private:
  double& at(int64_t column, int64_t row) {
    return pixels_[static_cast<size_t>(row * kGlyphSize + column)];
  }

  std::array<double, kGlyphSize * kGlyphSize> pixels_{};
};

}  // namespace cdsp
