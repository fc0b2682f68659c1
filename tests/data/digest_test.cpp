#include "data/digest.h"

#include <string>

#include "data/fingerprint.h"
#include "support/catch.h"
#include "support/idx_files.h"
#include "support/temp_dir.h"

namespace {

template <typename Digest>
std::string digest_of(const std::string& text, size_t piece = 1000) {
  Digest digest;
  for (size_t at = 0; at < text.size(); at += piece) {
    const std::string part = text.substr(at, piece);
    digest.update(part.data(), part.size());
  }
  return digest.finish();
}

const std::string kEightyDigits =
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890";

}  // namespace

TEST_CASE("MD5 gives the values of RFC 1321", "[data][digest]") {
  CHECK(digest_of<cdsp::Md5>("") == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(digest_of<cdsp::Md5>("abc") == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(digest_of<cdsp::Md5>("message digest") == "f96b697d7cb7938d525a2f31aaf161d0");
  CHECK(digest_of<cdsp::Md5>(kEightyDigits) == "57edf4a22be3c955ac49da2e2107b67a");
}

TEST_CASE("SHA-256 gives the values of FIPS 180-4", "[data][digest]") {
  CHECK(digest_of<cdsp::Sha256>("") ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest_of<cdsp::Sha256>("abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest_of<cdsp::Sha256>("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest_of<cdsp::Sha256>(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("A digest does not depend on the pieces that it is fed in", "[data][digest]") {
  std::string text;
  for (int i = 0; i < 50; ++i) text += kEightyDigits;
  for (const size_t piece : {1u, 7u, 63u, 64u, 65u, 4000u}) {
    CHECK(digest_of<cdsp::Md5>(text, piece) == digest_of<cdsp::Md5>(text));
    CHECK(digest_of<cdsp::Sha256>(text, piece) == digest_of<cdsp::Sha256>(text));
  }
}

TEST_CASE("A file's digest is that of its bytes, its content's that of the unpacked ones",
          "[data][digest]") {
  const cdsp::test::TemporaryFolder folder;
  const auto plain = folder.write("plain", "abc");
  const auto packed = folder.write("packed.gz", cdsp::test::gzip_bytes("abc"));
  CHECK(cdsp::digests_of_file(plain).md5 == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(cdsp::digests_of_file(plain).sha256 == digest_of<cdsp::Sha256>("abc"));
  CHECK(cdsp::digests_of_file(packed).md5 != "900150983cd24fb0d6963f7d28e17f72");
  CHECK(cdsp::md5_of_content(plain) == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(cdsp::md5_of_content(packed) == "900150983cd24fb0d6963f7d28e17f72");
}

TEST_CASE("The fingerprint changes with every bit and with where one piece ends",
          "[data][fingerprint]") {
  const auto fingerprint = [](const std::string& a, const std::string& b) {
    cdsp::Fingerprint print;
    print.add(a);
    print.add(b);
    return print.text();
  };
  const std::string text = "the quick brown fox";
  const std::string whole = fingerprint(text, "");
  CHECK(whole.size() == 16);
  CHECK(whole == fingerprint(text, ""));
  CHECK(whole != fingerprint(text.substr(0, 4), text.substr(4)));
  CHECK(whole != fingerprint("", text));
  CHECK(whole != fingerprint(text + std::string(1, '\0'), ""));
  for (size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ 1 << bit);
      CHECK(whole != fingerprint(other, ""));
    }
  }
}
