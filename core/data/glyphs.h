// The embedded data set: three small tasks that the program draws itself (data.source: glyphs), so
// that a fresh machine can train without a download.
//
//   strokes   ten runes of straight pen strokes
//   cursive   ten flowing curves with loops, drawn with a broad pen
//   objects   ten filled, textured silhouettes: clothes and household things
//
// Every image is 28x28 grey, light on dark, with its own turn, size, slant, place, bending, pen and
// noise. The images depend on nothing but their task, split and number: not on the run's seed, not
// on the other tasks, not on how many are drawn. Runs with different seeds therefore see the same
// images.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "data/glyph_canvas.h"

namespace cdsp {

inline constexpr int64_t kGlyphClasses = 10;

struct GlyphTask {
  const char* name;
  uint64_t number;  // names the task's random streams: never reused for another drawing
  std::array<const char*, kGlyphClasses> class_names;
  /// Draws one image of class `label` into `bytes` [kGlyphSize, kGlyphSize], row-major. Takes at
  /// most one random number per expression: compilers differ in the order in which they evaluate
  /// arguments.
  void (*draw)(int64_t label, RandomStream& stream, uint8_t* bytes);
};

/// Every task there is; one line each.
const std::vector<GlyphTask>& glyph_tasks();

/// The task called `name`. Throws InputError naming key data.tasks, the allowed names and the
/// nearest one.
const GlyphTask& glyph_task(const std::string& name);

enum class GlyphSplit : uint64_t { kTrain = 0, kTest = 1 };

/// Draws the first `count` images of a split into `pixels` [count, kGlyphSize, kGlyphSize] and
/// their classes into `labels` [count]. Each run of ten images holds each class once, in random
/// order.
void draw_glyphs(const GlyphTask& task, GlyphSplit split, int64_t count, uint8_t* pixels,
                 uint8_t* labels);

}  // namespace cdsp
