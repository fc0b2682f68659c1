// The viridis colour scale: equal steps look equal, in grey and with any kind of colour vision too.
#pragma once

#include <cstdint>
#include <string>

namespace cdsp {

struct Colour {
  uint8_t red = 0, green = 0, blue = 0;
};

/// `position` from 0 (dark violet) to 1 (yellow); what lies outside, or is not a number, goes to
/// the nearer end.
Colour viridis(double position);

/// Whether text on this colour must be white to be read best.
bool needs_white_text(Colour background);

/// "#440154"
std::string hex_code(Colour colour);

/// Number of the nearest colour in the 6x6x6 cube of terminals with 256 colours.
int terminal_colour(Colour colour);

}  // namespace cdsp
