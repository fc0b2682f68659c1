#include "data/glyph_canvas.h"

#include <algorithm>
#include <cmath>

namespace cdsp {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kPixelsPerUnit = 10.0;
constexpr double kLongestPiece =
    0.2;  // figure units; longer straight pieces are split before they are bent
constexpr int kLinesPerPixel = 5;  // scan lines of Canvas::fill

double distance(Point a, Point b) { return std::hypot(b.x - a.x, b.y - a.y); }

Point between(Point a, Point b, double share) {
  return {a.x + share * (b.x - a.x), a.y + share * (b.y - a.y)};
}

}  // namespace

Path smooth_curve(const Path& knots, bool closed, int steps) {
  const auto count = static_cast<int64_t>(knots.size());
  if (count == 0) return {};
  const auto knot = [&](int64_t i) {
    i = closed ? (i % count + count) % count : std::clamp<int64_t>(i, 0, count - 1);
    return knots[static_cast<size_t>(i)];
  };
  Path curve;
  const int64_t pieces = closed ? count : count - 1;
  for (int64_t i = 0; i < pieces; ++i) {
    const Point a = knot(i - 1), b = knot(i), c = knot(i + 1), d = knot(i + 2);
    for (int step = 0; step < steps; ++step) {
      const double t = static_cast<double>(step) / steps;
      const auto blend = [t](double p, double q, double r, double s) {
        return 0.5 * (2.0 * q + (r - p) * t + (2.0 * p - 5.0 * q + 4.0 * r - s) * t * t +
                      (3.0 * q - p - 3.0 * r + s) * t * t * t);
      };
      curve.push_back({blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y)});
    }
  }
  curve.push_back(knot(pieces));
  return curve;
}

Path shaken(Path path, double amount, RandomStream& stream) {
  for (Point& point : path) {
    point.x += amount * stream.normal();
    point.y += amount * stream.normal();
  }
  return path;
}

Pose::Pose(const PoseRange& range, RandomStream& stream) {
  const double angle = stream.uniform(-range.rotation, range.rotation);
  const double scale = kPixelsPerUnit * stream.uniform(range.scale_low, range.scale_high);
  const double stretch = std::exp(stream.uniform(-1.0, 1.0) * 0.5 * std::log(range.stretch));
  const double shear = stream.uniform(-range.shear, range.shear);
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const double width = scale * stretch, height = scale / stretch;
  xx_ = cosine * width;
  xy_ = (cosine * shear - sine) * height;
  yx_ = sine * width;
  yy_ = (sine * shear + cosine) * height;
  const double middle = 0.5 * static_cast<double>(kGlyphSize);
  centre_.x = middle + stream.uniform(-range.shift, range.shift);
  centre_.y = middle + stream.uniform(-range.shift, range.shift);
  for (Wave& wave : waves_) {
    const double direction = stream.uniform(0.0, 2.0 * kPi);
    const double frequency =
        stream.uniform(1.2, 3.2);  // radians per figure unit: bends, not ripples
    const double amplitude_direction = stream.uniform(0.0, 2.0 * kPi);
    wave.frequency_x = frequency * std::cos(direction);
    wave.frequency_y = frequency * std::sin(direction);
    wave.phase = stream.uniform(0.0, 2.0 * kPi);
    wave.amplitude_x = range.wobble * std::cos(amplitude_direction);
    wave.amplitude_y = range.wobble * std::sin(amplitude_direction);
  }
}

Point Pose::to_pixels(Point point) const {
  Point bent = point;
  for (const Wave& wave : waves_) {
    const double swing =
        std::sin(wave.frequency_x * point.x + wave.frequency_y * point.y + wave.phase);
    bent.x += wave.amplitude_x * swing;
    bent.y += wave.amplitude_y * swing;
  }
  return {centre_.x + xx_ * bent.x + xy_ * bent.y, centre_.y + yx_ * bent.x + yy_ * bent.y};
}

Path Pose::to_pixels(const Path& path) const {
  Path result;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const int pieces =
        std::max(1, static_cast<int>(std::ceil(distance(path[i], path[i + 1]) / kLongestPiece)));
    for (int piece = 0; piece < pieces; ++piece) {
      result.push_back(
          to_pixels(between(path[i], path[i + 1], static_cast<double>(piece) / pieces)));
    }
  }
  if (!path.empty()) result.push_back(to_pixels(path.back()));
  return result;
}

void Canvas::stroke(const Path& path, double radius) {
  stroke(path, std::vector<double>(path.size(), radius));
}

void Canvas::stroke(const Path& path, const std::vector<double>& radii) {
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const Point a = path[i], b = path[i + 1];
    const double reach = std::max(radii[i], radii[i + 1]) + 1.0;
    const auto first = [&](double p, double q) {
      return std::max<int64_t>(0, static_cast<int64_t>(std::floor(std::min(p, q) - reach)));
    };
    const auto last = [&](double p, double q) {
      return std::min<int64_t>(kGlyphSize - 1,
                               static_cast<int64_t>(std::ceil(std::max(p, q) + reach)));
    };
    const double length_squared = (b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y);
    for (int64_t row = first(a.y, b.y); row <= last(a.y, b.y); ++row) {
      for (int64_t column = first(a.x, b.x); column <= last(a.x, b.x); ++column) {
        const Point centre{static_cast<double>(column) + 0.5, static_cast<double>(row) + 0.5};
        double share = 0.0;
        if (length_squared > 0.0) {
          share =
              ((centre.x - a.x) * (b.x - a.x) + (centre.y - a.y) * (b.y - a.y)) / length_squared;
          share = std::clamp(share, 0.0, 1.0);
        }
        const double radius = radii[i] + share * (radii[i + 1] - radii[i]);
        const double coverage = radius + 0.5 - distance(centre, between(a, b, share));
        at(column, row) = std::max(at(column, row), std::clamp(coverage, 0.0, 1.0));
      }
    }
  }
}

void Canvas::fill(const std::vector<Path>& outlines) {
  std::vector<double> crossings;
  for (int64_t line = 0; line < kGlyphSize * kLinesPerPixel; ++line) {
    const double y = (static_cast<double>(line) + 0.5) / kLinesPerPixel;
    crossings.clear();
    for (const Path& outline : outlines) {
      for (size_t i = 0; i < outline.size(); ++i) {
        const Point a = outline[i], b = outline[(i + 1) % outline.size()];
        if ((a.y <= y) == (b.y <= y)) continue;
        crossings.push_back(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
      }
    }
    std::sort(crossings.begin(), crossings.end());
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const double left = std::clamp(crossings[i], 0.0, static_cast<double>(kGlyphSize));
      const double right = std::clamp(crossings[i + 1], 0.0, static_cast<double>(kGlyphSize));
      for (int64_t column = static_cast<int64_t>(left); column < kGlyphSize; ++column) {
        const double from = std::max(left, static_cast<double>(column));
        const double to = std::min(right, static_cast<double>(column) + 1.0);
        if (to <= from) break;
        double& pixel = at(column, line / kLinesPerPixel);
        pixel = std::min(1.0, pixel + (to - from) / kLinesPerPixel);
      }
    }
  }
}

void Canvas::write(double brightness, double noise, RandomStream& stream, uint8_t* bytes) const {
  for (size_t i = 0; i < pixels_.size(); ++i) {
    const double value = brightness * pixels_[i] + noise * stream.normal();
    bytes[i] = static_cast<uint8_t>(std::lround(255.0 * std::clamp(value, 0.0, 1.0)));
  }
}

}  // namespace cdsp
