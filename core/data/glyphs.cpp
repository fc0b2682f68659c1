#include "data/glyphs.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <system_error>
#include <thread>

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

/// A run of ten images, those of them that are below `count`.
void draw_run(const GlyphTask& task, GlyphSplit split, int64_t run, int64_t count, uint8_t* pixels,
              uint8_t* labels) {
  const std::vector<int64_t> order =
      stream_of(task, split, /*is_order=*/true, run).permutation(kGlyphClasses);
  for (int64_t i = run * kGlyphClasses; i < count && i < (run + 1) * kGlyphClasses; ++i) {
    const int64_t label = order[static_cast<size_t>(i % kGlyphClasses)];
    RandomStream stream = stream_of(task, split, /*is_order=*/false, i);
    task.draw(label, stream, pixels + i * kGlyphSize * kGlyphSize);
    labels[i] = static_cast<uint8_t>(label);
  }
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
  constexpr int64_t kAtOnce = 16;  // runs of ten
  const int64_t runs = (count + kGlyphClasses - 1) / kGlyphClasses;
  std::atomic<int64_t> next{0};
  const auto draw_runs = [&] {
    for (int64_t first = next.fetch_add(kAtOnce); first < runs; first = next.fetch_add(kAtOnce)) {
      for (int64_t run = first; run < runs && run < first + kAtOnce; ++run)
        draw_run(task, split, run, count, pixels, labels);
    }
  };
  // Every image has a random stream of its own: who draws it does not matter.
  std::vector<std::future<void>> helpers;  // whose end waits for them
  const int64_t wanted = std::min<int64_t>(std::thread::hardware_concurrency(), runs / kAtOnce);
  try {
    for (int64_t i = 1; i < wanted; ++i)
      helpers.push_back(std::async(std::launch::async, draw_runs));
  } catch (const std::system_error&) {
    // Fewer threads than cores: those that there are draw all.
  }
  draw_runs();
  for (std::future<void>& helper : helpers) helper.get();
}

}  // namespace cdsp
