#include "report/colour_scale.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace cdsp {
namespace {

/// Every tenth of the published scale (van der Walt and Smith, 2015); straight lines between them
/// stay within what an eye tells apart.
constexpr std::array<Colour, 11> kAnchors = {{{0x44, 0x01, 0x54},
                                              {0x48, 0x25, 0x76},
                                              {0x41, 0x44, 0x87},
                                              {0x35, 0x60, 0x8d},
                                              {0x2a, 0x78, 0x8e},
                                              {0x21, 0x90, 0x8c},
                                              {0x22, 0xa8, 0x84},
                                              {0x43, 0xbf, 0x71},
                                              {0x7a, 0xd1, 0x51},
                                              {0xbb, 0xdf, 0x27},
                                              {0xfd, 0xe7, 0x25}}};

uint8_t between(uint8_t low, uint8_t high, double share) {
  return static_cast<uint8_t>(std::lround(low + share * (high - low)));
}

/// Relative luminance of the WCAG, 0 to 1.
double luminance(Colour colour) {
  const auto linear = [](uint8_t channel) {
    const double value = channel / 255.0;
    return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue);
}

}  // namespace

Colour viridis(double position) {
  // Written so that NaN goes to 0.
  const double scaled = (position > 0.0 ? std::min(position, 1.0) : 0.0) * (kAnchors.size() - 1);
  const size_t left = std::min(static_cast<size_t>(scaled), kAnchors.size() - 2);
  const double share = scaled - static_cast<double>(left);
  const Colour &low = kAnchors[left], &high = kAnchors[left + 1];
  return {between(low.red, high.red, share), between(low.green, high.green, share),
          between(low.blue, high.blue, share)};
}

bool needs_white_text(Colour background) {
  // Contrast with white is 1.05 / (L + 0.05), with black (L + 0.05) / 0.05: they are equal here.
  return luminance(background) < std::sqrt(1.05 * 0.05) - 0.05;
}

std::string hex_code(Colour colour) {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", colour.red, colour.green, colour.blue);
  return text;
}

int terminal_colour(Colour colour) {
  // The cube's steps are 0, 95, 135, 175, 215, 255.
  const auto step = [](uint8_t channel) {
    return channel < 48 ? 0 : channel < 115 ? 1 : (channel - 35) / 40;
  };
  return 16 + 36 * step(colour.red) + 6 * step(colour.green) + step(colour.blue);
}

}  // namespace cdsp
