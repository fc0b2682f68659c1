#include "data/idx.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/catch.h"
#include "support/idx_files.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace {

using cdsp::find_idx_file;
using cdsp::IdxReader;
using cdsp::InputError;
using cdsp::test::gzip_bytes;
using cdsp::test::idx_bytes;
using cdsp::test::TemporaryFolder;

/// 5 images of 2x3 pixels: 0, 1, ..., 29.
std::string small_images() {
  std::vector<uint8_t> pixels(30);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i);
  return idx_bytes({5, 2, 3}, pixels);
}

/// What is thrown while `content` under `name` is opened as images and read to its end; "" if
/// nothing is.
std::string complaint(const std::string& name, const std::string& content) {
  const TemporaryFolder folder;
  const auto path = folder.write(name, content);
  const std::string message = cdsp::test::message_of<InputError>([&] {
    IdxReader reader(path, 3);
    std::vector<uint8_t> pixels(static_cast<size_t>(reader.items() * reader.item_bytes()));
    reader.read(reader.items(), pixels.data());
    reader.finish();
  });
  if (message.empty()) return "";
  CHECK(message.compare(0, path.string().size() + 2, path.string() + ": ") == 0);
  CHECK(message.find('\n') == std::string::npos);
  return message.substr(path.string().size() + 2);
}

}  // namespace

TEST_CASE("An IDX file gives its shape and its bytes, plain and gzipped alike", "[data][idx]") {
  const TemporaryFolder folder;
  for (const auto& path :
       {folder.write("a", small_images()), folder.write("b.gz", gzip_bytes(small_images()))}) {
    IdxReader reader(path, 3);
    REQUIRE(reader.shape() == std::vector<int64_t>{5, 2, 3});
    CHECK(reader.items() == 5);
    CHECK(reader.item_bytes() == 6);
    std::vector<uint8_t> first(12), next(6);
    reader.read(2, first.data());
    reader.read(1, next.data());
    CHECK(first.front() == 0);
    CHECK(first.back() == 11);
    CHECK(next == std::vector<uint8_t>{12, 13, 14, 15, 16, 17});
    reader.finish();
  }
}

TEST_CASE("A gzip file of several members is read as one", "[data][idx]") {
  const std::string bytes = small_images();
  CHECK(complaint("x.gz", gzip_bytes(bytes.substr(0, 17)) + gzip_bytes(bytes.substr(17))).empty());
}

TEST_CASE("A missing file is reported under both names that were tried", "[data][idx]") {
  const TemporaryFolder folder;
  REQUIRE_THROWS_WITH(
      find_idx_file(folder.path(), "train-images-idx3-ubyte"),
      Catch::Matchers::ContainsSubstring("/train-images-idx3-ubyte: no such file") &&
          Catch::Matchers::ContainsSubstring("train-images-idx3-ubyte.gz"));
  folder.write("train-images-idx3-ubyte.gz", "x");
  CHECK(find_idx_file(folder.path(), "train-images-idx3-ubyte") ==
        folder.path() / "train-images-idx3-ubyte.gz");
  folder.write("train-images-idx3-ubyte", "x");
  CHECK(find_idx_file(folder.path(), "train-images-idx3-ubyte") ==
        folder.path() / "train-images-idx3-ubyte");
}

TEST_CASE("A folder in a file's place, an empty file and a false .gz are told apart",
          "[data][idx]") {
  const TemporaryFolder folder;
  folder.write("place/inside", "");
  REQUIRE_THROWS_WITH(IdxReader(folder.path() / "place", 3),
                      Catch::Matchers::ContainsSubstring("is a folder"));
  REQUIRE_THROWS_WITH(IdxReader(folder.path() / "gone", 3),
                      Catch::Matchers::ContainsSubstring("no such file"));
  CHECK(complaint("x", "") == "is empty");
  CHECK(complaint("x.gz", "") == "is empty");
  CHECK(complaint("x.gz", small_images()) ==
        "is named .gz but does not start as gzip data does (1f 8b)");
}

TEST_CASE("A truncated IDX file is refused, wherever it breaks off", "[data][idx]") {
  const std::string bytes = small_images();
  for (size_t kept = 1; kept < bytes.size(); ++kept) {
    INFO("bytes kept: " << kept);
    CHECK_THAT(complaint("x", bytes.substr(0, kept)),
               Catch::Matchers::ContainsSubstring("is truncated"));
    CHECK_THAT(complaint("x.gz", gzip_bytes(bytes.substr(0, kept))),
               Catch::Matchers::ContainsSubstring("is truncated"));
  }
  const std::string packed = gzip_bytes(bytes);
  for (size_t kept = 1; kept < packed.size(); ++kept) {
    INFO("compressed bytes kept: " << kept);
    CHECK_THAT(complaint("x.gz", packed.substr(0, kept)),
               Catch::Matchers::ContainsSubstring("is truncated"));
  }
}

TEST_CASE("The message on a truncated file counts the items", "[data][idx]") {
  const std::string bytes = small_images();
  CHECK(complaint("x", bytes.substr(0, bytes.size() - 1)) ==
        "is truncated: its header announces the shape 5 x 2 x 3, 30 bytes, but 29 bytes follow it");
  CHECK(complaint("x.gz", gzip_bytes(bytes.substr(0, bytes.size() - 1))) ==
        "is truncated: its header announces 5 items, it ends after 4 whole ones");
}

TEST_CASE("A truncated gzip file is found even if only a part of it is wanted", "[data][idx]") {
  const TemporaryFolder folder;
  const std::string bytes = small_images();
  IdxReader reader(folder.write("x.gz", gzip_bytes(bytes.substr(0, bytes.size() - 7))), 3);
  std::vector<uint8_t> pixels(6);
  reader.read(1, pixels.data());
  REQUIRE_THROWS_WITH(reader.finish(),
                      Catch::Matchers::ContainsSubstring("it ends after 3 whole ones"));
}

TEST_CASE("A damaged gzip file is refused whichever byte of its data or checksum flips",
          "[data][idx]") {
  const std::string packed = gzip_bytes(small_images());
  const size_t header = 10;  // of gzip; flags and times in it may differ freely
  for (size_t i = header; i < packed.size(); ++i) {
    std::string flipped = packed;
    flipped[i] = static_cast<char>(~flipped[i]);
    INFO("byte " << i);
    CHECK_FALSE(complaint("x.gz", flipped).empty());
  }
  std::string wrong_sum = packed;
  wrong_sum[packed.size() - 8] = static_cast<char>(wrong_sum[packed.size() - 8] ^ 1);
  CHECK(complaint("x.gz", wrong_sum) ==
        "is damaged: the compressed data does not unpack (incorrect data check)");
}

TEST_CASE("Trailing bytes are refused", "[data][idx]") {
  CHECK_THAT(complaint("x", small_images() + "!"),
             Catch::Matchers::ContainsSubstring("has trailing bytes"));
  CHECK_THAT(complaint("x.gz", gzip_bytes(small_images() + "!")),
             Catch::Matchers::ContainsSubstring("has trailing bytes"));
  CHECK_THAT(
      complaint("x.gz", gzip_bytes(small_images()) + "!"),
      Catch::Matchers::ContainsSubstring("has other bytes after the end of the compressed data"));
}

TEST_CASE("Another magic number is named beside the one that is needed", "[data][idx]") {
  CHECK(complaint("x", idx_bytes({5}, {1, 2, 3, 4, 5})) ==
        "starts with 0x00000801, an IDX file of unsigned bytes in 3 dimensions starts with "
        "0x00000803");
  CHECK_THAT(complaint("x", "<html><body>404"),
             Catch::Matchers::ContainsSubstring("starts with 0x3c68746d"));
  std::string floats = small_images();
  floats[2] = 0x0d;
  CHECK_THAT(complaint("x", floats), Catch::Matchers::ContainsSubstring("starts with 0x00000d03"));
}

TEST_CASE("No size in a header is believed that the file cannot hold", "[data][idx]") {
  const uint32_t huge = 0xffffffffu;
  for (const auto& shape :
       std::vector<std::vector<uint32_t>>{{huge, huge, huge}, {huge, 28, 28}, {5, huge, 1}}) {
    const std::string bytes = idx_bytes(shape, std::vector<uint8_t>(30));
    CHECK_THAT(complaint("x", bytes), Catch::Matchers::ContainsSubstring("is truncated"));
    CHECK_THAT(complaint("x.gz", gzip_bytes(bytes)),
               Catch::Matchers::ContainsSubstring("can hold"));
  }
}

TEST_CASE("Files without images, or with images without pixels, are refused", "[data][idx]") {
  CHECK_THAT(complaint("x", idx_bytes({0, 28, 28}, {})),
             Catch::Matchers::ContainsSubstring("holds no items"));
  CHECK_THAT(complaint("x.gz", gzip_bytes(idx_bytes({0, 28, 28}, {}))),
             Catch::Matchers::ContainsSubstring("holds no items"));
  CHECK_THAT(complaint("x", idx_bytes({5, 0, 28}, {})),
             Catch::Matchers::ContainsSubstring("no size may be 0"));
}
