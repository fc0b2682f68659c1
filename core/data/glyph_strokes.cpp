// Task `strokes`: ten runes of the Elder Futhark, each a few straight strokes of an even pen.
#include <vector>

#include "data/glyph_canvas.h"
#include "data/glyph_figures.h"

namespace cdsp {
namespace {

using Rune = std::vector<Path>;

/// In the order of the task's class names.
const std::vector<Rune>& runes() {
  // clang-format off
  static const std::vector<Rune> table = {
      /* fehu     */ {{{-0.5, -1.0}, {-0.5, 1.0}}, {{-0.5, -0.1}, {0.4, -0.95}}, {{-0.5, 0.45}, {0.65, -0.6}}},
      /* uruz     */ {{{-0.55, 1.0}, {-0.55, -1.0}, {0.55, -0.3}, {0.55, 1.0}}},
      /* thurisaz */ {{{-0.4, -1.0}, {-0.4, 1.0}}, {{-0.4, -0.6}, {0.5, 0.0}, {-0.4, 0.6}}},
      /* raidho   */ {{{-0.5, -1.0}, {-0.5, 1.0}}, {{-0.5, -1.0}, {0.5, -0.5}, {-0.5, 0.0}, {0.55, 1.0}}},
      /* hagalaz  */ {{{-0.6, -1.0}, {-0.6, 1.0}}, {{0.6, -1.0}, {0.6, 1.0}}, {{-0.6, -0.35}, {0.6, 0.35}}},
      /* algiz    */ {{{0.0, -1.0}, {0.0, 1.0}}, {{-0.7, -0.9}, {0.0, -0.05}, {0.7, -0.9}}},
      /* tiwaz    */ {{{0.0, -1.0}, {0.0, 1.0}}, {{-0.7, -0.25}, {0.0, -1.0}, {0.7, -0.25}}},
      /* mannaz   */ {{{-0.6, 1.0}, {-0.6, -1.0}, {0.6, 0.0}}, {{0.6, 1.0}, {0.6, -1.0}, {-0.6, 0.0}}},
      /* dagaz    */ {{{-0.6, 1.0}, {-0.6, -1.0}, {0.6, 1.0}, {0.6, -1.0}, {-0.6, 1.0}}},
      /* othala   */ {{{-0.6, 1.0}, {0.55, -0.3}, {0.0, -1.0}, {-0.55, -0.3}, {0.6, 1.0}}},
  };
  // clang-format on
  return table;
}

constexpr PoseRange kPoses{/*rotation=*/0.15, /*scale_low=*/0.7, /*scale_high=*/0.95,
                           /*stretch=*/1.25,  /*shear=*/0.15,
                           /*shift=*/3.5,     /*wobble=*/0.04};

}  // namespace

void draw_strokes(int64_t label, RandomStream& stream, uint8_t* bytes) {
  const Pose pose(kPoses, stream);
  const double radius = stream.uniform(0.7, 1.5);
  Canvas canvas;
  for (const Path& stroke : runes()[static_cast<size_t>(label)]) {
    const Path path = pose.to_pixels(shaken(stroke, 0.07, stream));
    canvas.stroke(path, radius * stream.uniform(0.85, 1.15));
  }
  const double brightness = stream.uniform(0.65, 1.0);
  const double noise = stream.uniform(0.0, 0.06);
  canvas.write(brightness, noise, stream, bytes);
}

}  // namespace cdsp
