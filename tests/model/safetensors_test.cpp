// The weight file format: what is written reads back, and what is broken is refused in one line.
#include "model/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// The bytes of a file with this header and data; `claimed` overrules the header's length.
std::string file_bytes(const std::string& header, const std::string& data,
                       std::optional<uint64_t> claimed = {}) {
  const uint64_t size = claimed.value_or(header.size());
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + data;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

/// The message that reading these bytes ends with.
std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  const auto file = folder.write("w.safetensors", bytes);
  std::string message = message_of<InputError>([&] { read_safetensors(file); });
  const std::string start = file.string() + ": not a usable safetensors file: ";
  CHECK(message.find(start) == 0);
  CHECK(message.find('\n') == std::string::npos);
  return message.erase(0, std::min(message.size(), start.size()));
}

const std::string& eight_zeros() {
  static const std::string bytes(8, '\0');
  return bytes;
}

}  // namespace

TEST_CASE("tensors and metadata read back exactly") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "w.safetensors";
  Draw draw(1);
  TensorFile written;
  written.tensors["a"] = draw.normal({3, 5});
  written.tensors["b"] = draw.normal({7}).to(at::kFloat);
  written.tensors["c.d"] = at::tensor(std::vector<int64_t>{-1, int64_t{1} << 40}, at::kLong);
  written.tensors["empty"] = at::zeros({0, 4}, at::kFloat);
  written.tensors["scalar"] = at::full({}, 2.5, at::kDouble);
  written.tensors["strided"] = draw.normal({4, 6}).t();
  written.tensors["parameter"] = draw.normal({2}).set_requires_grad(true);
  written.tensors["not a number"] = at::full({2}, std::nan(""), at::kDouble);
  written.metadata = {{"step", "12"}, {"quote\"", "line\nend \xc3\xa9"}};
  write_safetensors(file, written);
  const TensorFile read = read_safetensors(file);
  CHECK(read.metadata == written.metadata);
  CHECK(read.tensors.size() == written.tensors.size());
  for (const auto& [name, tensor] : written.tensors) {
    INFO(name);
    CHECK(same_bytes(read.tensors.at(name), tensor));
  }
}

TEST_CASE("equal content gives equal bytes") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    TensorFile content;
    content.tensors["w"] = Draw(2).normal({9});
    content.metadata["step"] = "3";
    write_safetensors(folder.path() / name, content);
  }
  CHECK(read_file(folder.path() / "a") == read_file(folder.path() / "b"));
}

TEST_CASE("the file is laid out as the format says") {
  const TemporaryFolder folder;
  TensorFile content;
  content.tensors["w"] = at::tensor({1.0, 2.0}, at::kFloat);
  write_safetensors(folder.path() / "w", content);
  const std::string bytes = read_file(folder.path() / "w");
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  CHECK(header_size % 8 == 0);
  CHECK(bytes.size() == 8 + header_size + 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_size));
  CHECK(header == nlohmann::json::parse(entry("F32", "[2]", "[0,8]")));
  float values[2];
  std::memcpy(values, bytes.data() + 8 + header_size, sizeof values);
  CHECK(values[1] == 2.0f);
}

TEST_CASE("a file of no tensors is a file") {
  const TemporaryFolder folder;
  const auto file = folder.write("w", file_bytes("{}", ""));
  CHECK(read_safetensors(file).tensors.empty());
}

TEST_CASE("a missing file and a folder are refused by name") {
  const TemporaryFolder folder;
  CHECK_THAT(message_of<InputError>([&] { read_safetensors(folder.path() / "none"); }),
             ContainsSubstring("none: no such file"));
  CHECK_THAT(message_of<InputError>([&] { read_safetensors(folder.path()); }),
             ContainsSubstring("is a folder"));
}

TEST_CASE("a file that ends early is refused, wherever it ends") {
  const TemporaryFolder folder;
  const auto file = folder.path() / "w.safetensors";
  TensorFile content;
  content.tensors["w"] = Draw(3).normal({5});
  write_safetensors(file, content);
  const std::string whole = read_file(file);
  CHECK(read_safetensors(file).tensors.size() == 1);
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO(length << " of " << whole.size() << " bytes");
    CHECK_FALSE(refusal(whole.substr(0, length)).empty());
  }
}

TEST_CASE("a header longer than the file is refused, however long it claims to be") {
  for (const uint64_t claimed : {uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{7}}) {
    CHECK(refusal(file_bytes("{}", "", claimed)) ==
          "the header is longer than the file (truncated?)");
  }
}

TEST_CASE("a header that is not the JSON it should be is refused") {
  const std::string why = "the header is not the JSON it should be";
  CHECK(refusal(file_bytes("garbage", "")) == why);
  CHECK(refusal(file_bytes("", "")) == why);
  CHECK(refusal(file_bytes("{\"w\":", "")) == why);
  CHECK(refusal(file_bytes(R"({"w":3})", "")) == why);
  CHECK(refusal(file_bytes(R"({"w":{"dtype":"F32"}})", "")) == why);
  CHECK(refusal(file_bytes(R"({"__metadata__":{"step":3}})", "")) == why);
  CHECK(refusal(file_bytes(entry("F32", "\"2\"", "[0,8]"), eight_zeros())) == why);
  CHECK(refusal(file_bytes("[1]", "")) == "the header is not a JSON object");
  CHECK(refusal(file_bytes(std::string(100000, '['), "")) == why);
}

TEST_CASE("an unknown dtype is named beside those that are read") {
  CHECK(refusal(file_bytes(entry("BF16", "[4]", "[0,8]"), eight_zeros())) ==
        "tensor w has dtype BF16; allowed are F32, F64 and I64");
}

TEST_CASE("offsets outside the file, or in the wrong order, are refused") {
  for (const char* offsets :
       {"[0,16]", "[8,0]", "[0]", "[0,4,8]", "[-8,0]", "[0,-1]", "[0,18446744073709551615]"}) {
    INFO(offsets);
    CHECK(refusal(file_bytes(entry("F32", "[2]", offsets), eight_zeros())) ==
          "tensor w reaches outside the file (truncated?)");
  }
}

TEST_CASE("a shape that does not fit its bytes is refused, overflowing ones too") {
  for (const char* shape : {"[3]", "[1]", "[]", "[2,0]", "[4294967296,4294967296]",
                            "[9223372036854775807,9223372036854775807,9223372036854775807]"}) {
    INFO(shape);
    CHECK_THAT(refusal(file_bytes(entry("F32", shape, "[0,8]"), eight_zeros())),
               ContainsSubstring("has 8 bytes, its shape and dtype need another number"));
  }
  CHECK_FALSE(refusal(file_bytes(entry("F32", "[-2]", "[0,8]"), eight_zeros())).empty());
  CHECK_FALSE(refusal(file_bytes(entry("F32", "[-2,-1]", "[0,8]"), eight_zeros())).empty());
}

TEST_CASE("an empty tensor with overflowing extents is refused, not followed") {
  const char* shape = "[0,4611686018427387904,4611686018427387904]";
  CHECK(refusal(file_bytes(entry("F32", shape, "[0,0]"), "")) ==
        "tensor w has a shape that overflows");
}

TEST_CASE("a dtype that the format has no name for here is not written") {
  const TemporaryFolder folder;
  TensorFile content;
  content.tensors["w"] = at::ones({2}, at::kHalf);
  CHECK_THROWS_AS(write_safetensors(folder.path() / "w", content), WorkError);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "w"));
}
