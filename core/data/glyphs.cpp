#include "data/glyphs.h"

#include "base/error.h"
#include "config/suggest.h"
#include "data/glyph_figures.h"

namespace cdsp {
namespace {

/// The embedded images are one fixed data set: changing this number makes it another one.
constexpr uint64_t kGlyphSeed = 28;

/// A stream's index holds task, split and the number of the image (or of the run of ten), in
/// separate bits.
RandomStream stream_of(const GlyphTask& task, GlyphSplit split, bool is_order, int64_t number) {
  const uint64_t name =
      (((task.number << 1) | static_cast<uint64_t>(split)) << 1) | (is_order ? 1 : 0);
  return RandomStream(kGlyphSeed, RandomPurpose::kGlyphs,
                      (name << 32) | static_cast<uint64_t>(number));
}

}  // namespace

const std::vector<GlyphTask>& glyph_tasks() {
  static const std::vector<GlyphTask> tasks = {
      {"strokes",
       0,
       {"fehu", "uruz", "thurisaz", "raidho", "hagalaz", "algiz", "tiwaz", "mannaz", "dagaz",
        "othala"},
       draw_strokes},
      {"cursive",
       1,
       {"spiral", "infinity", "ribbon", "coil", "swan", "three", "loop", "trefoil", "wave",
        "ampersand"},
       draw_cursive},
      {"objects",
       2,
       {"shirt", "trousers", "dress", "boot", "hat", "bag", "mug", "bottle", "umbrella", "fish"},
       draw_objects},
  };
  return tasks;
}

const GlyphTask& glyph_task(const std::string& name) {
  for (const GlyphTask& task : glyph_tasks()) {
    if (name == task.name) return task;
  }
  std::string names;
  const GlyphTask* nearest = &glyph_tasks().front();
  for (const GlyphTask& task : glyph_tasks()) {
    names += (names.empty() ? "" : ", ") + std::string(task.name);
    if (edit_distance(name, task.name) < edit_distance(name, nearest->name)) nearest = &task;
  }
  throw InputError("data.tasks: found \"" + name + "\"; allowed with data.source glyphs: " + names +
                   "; did you mean " + nearest->name + "?");
}

void draw_glyphs(const GlyphTask& task, GlyphSplit split, int64_t count, uint8_t* pixels,
                 uint8_t* labels) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < count; ++i) {
    if (i % kGlyphClasses == 0) {
      order =
          stream_of(task, split, /*is_order=*/true, i / kGlyphClasses).permutation(kGlyphClasses);
    }
    const int64_t label = order[static_cast<size_t>(i % kGlyphClasses)];
    RandomStream stream = stream_of(task, split, /*is_order=*/false, i);
    task.draw(label, stream, pixels + i * kGlyphSize * kGlyphSize);
    labels[i] = static_cast<uint8_t>(label);
  }
}

}  // namespace cdsp
