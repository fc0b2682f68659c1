// One draw function per embedded task; glyphs.cpp lists them. Signature: see GlyphTask.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace cdsp {

void draw_strokes(int64_t label, RandomStream& stream, uint8_t* bytes);
void draw_cursive(int64_t label, RandomStream& stream, uint8_t* bytes);
void draw_objects(int64_t label, RandomStream& stream, uint8_t* bytes);

}  // namespace cdsp
