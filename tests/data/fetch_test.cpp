#include "data/fetch.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <stdlib.h>

#include "base/error.h"
#include "base/random.h"
#include "data/digest.h"
#include "data/part_file.h"
#include "support/catch.h"
#include "support/http_server.h"
#include "support/idx_files.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace {

using cdsp::fetch_file;
using cdsp::FetchOutcome;
using cdsp::test::HttpReply;
using cdsp::test::HttpRequest;
using cdsp::test::HttpServer;
using cdsp::test::reply_with_range;
using cdsp::test::TemporaryFolder;

/// 300 kB that no two runs of the generator could mix up, and what the tests know about them.
struct Fixture {
  Fixture() {
    cdsp::RandomStream stream(5, cdsp::RandomPurpose::kTest);
    for (int i = 0; i < 300000; ++i) content += static_cast<char>(stream.next_u32() >> 24);
    packed = cdsp::test::gzip_bytes(content);
    cdsp::Md5 md5, content_md5;
    cdsp::Sha256 sha256;
    md5.update(packed.data(), packed.size());
    sha256.update(packed.data(), packed.size());
    content_md5.update(content.data(), content.size());
    file = {"file.gz", md5.finish(), sha256.finish(), content_md5.finish()};
    options.limits.connect_seconds = 5;
    options.limits.stall_seconds = 5;
    options.report = [this](const std::string& line) { report += line + "\n"; };
    ::setenv("no_proxy", "127.0.0.1", 1);
  }

  fs::path target() const { return folder.path() / "task" / "file.gz"; }
  fs::path part() const { return target().string() + ".part"; }
  FetchOutcome fetch(const std::vector<std::string>& mirrors) {
    return fetch_file(file, mirrors, folder.path() / "task", options);
  }
  static std::string bytes_of(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << stream.rdbuf();
    return bytes.str();
  }
  void check_stored() const {
    CHECK(bytes_of(target()) == packed);
    CHECK_FALSE(fs::exists(part()));
  }

  TemporaryFolder folder;
  std::string content, packed, report;
  cdsp::RemoteFile file;
  cdsp::FetchOptions options;
};

HttpReply with_status(int status) {
  HttpReply reply;
  reply.status = status;
  reply.body = "<html>no</html>";
  return reply;
}

}  // namespace

TEST_CASE("A file is downloaded, checked and stored under its name", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  CHECK(fixture.fetch({server.url() + "/mirror"}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  REQUIRE(server.requests().size() == 1);
  CHECK(server.requests()[0].path == "/mirror/file.gz");
  CHECK_FALSE(server.requests()[0].range_start);
}

TEST_CASE("A file that is there already is not downloaded again", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  fixture.folder.write("task/file.gz", fixture.packed);
  CHECK(fixture.fetch({server.url()}) == FetchOutcome::kPresent);
  CHECK(server.requests().empty());
}

TEST_CASE("The same content, packed again or unpacked, counts as present", "[data][fetch]") {
  Fixture fixture;
  SECTION("packed again") {
    fixture.folder.write("task/file.gz", cdsp::test::gzip_bytes(fixture.content, 1));
  }
  SECTION("unpacked") { fixture.folder.write("task/file", fixture.content); }
  CHECK(fixture.fetch({}) == FetchOutcome::kPresentRepacked);
}

TEST_CASE("A file of that name with other content is kept and reported", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  const std::string mine = cdsp::test::gzip_bytes("my own");
  fixture.folder.write("task/file.gz", mine);
  REQUIRE_THROWS_AS(fixture.fetch({server.url()}), cdsp::InputError);
  CHECK(Fixture::bytes_of(fixture.target()) == mine);
  CHECK(server.requests().empty());
}

TEST_CASE("After a 404 the next mirror is asked", "[data][fetch]") {
  Fixture fixture;
  const HttpServer bad([](const HttpRequest&) { return with_status(404); });
  const HttpServer good(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  CHECK(fixture.fetch({bad.url(), good.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  CHECK(bad.requests().size() == 1);
  CHECK(good.requests().size() == 1);
  CHECK_THAT(fixture.report, Catch::Matchers::ContainsSubstring("status 404"));
}

TEST_CASE("After a wrong sum the next mirror is asked, from the first byte", "[data][fetch]") {
  Fixture fixture;
  const HttpServer bad(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed + "x", request); });
  const HttpServer good(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  CHECK(fixture.fetch({bad.url(), good.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  REQUIRE(good.requests().size() == 1);
  CHECK_FALSE(good.requests()[0].range_start);
  CHECK_THAT(fixture.report, Catch::Matchers::ContainsSubstring("wrong MD5"));
}

TEST_CASE("A right MD5 with a wrong SHA-256 is a wrong file", "[data][fetch]") {
  Fixture fixture;
  fixture.file.sha256[0] = fixture.file.sha256[0] == '0' ? '1' : '0';
  const HttpServer server(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  REQUIRE_THROWS_WITH(fixture.fetch({server.url()}),
                      Catch::Matchers::ContainsSubstring("wrong SHA-256"));
  CHECK_FALSE(fs::exists(fixture.target()));
}

TEST_CASE("A download that was cut goes on with a range where it stopped", "[data][fetch]") {
  Fixture fixture;
  int answers = 0;
  const HttpServer server([&](const HttpRequest& request) {
    HttpReply reply = reply_with_range(fixture.packed, request);
    if (++answers < 3) reply.cut_after = 100000;
    return reply;
  });
  CHECK(fixture.fetch({server.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  const auto requests = server.requests();
  REQUIRE(requests.size() == 3);
  CHECK_FALSE(requests[0].range_start);
  CHECK(requests[1].range_start == 100000);
  CHECK(requests[2].range_start == 200000);
}

TEST_CASE("A part left by an earlier run is completed, at another mirror too", "[data][fetch]") {
  Fixture fixture;
  const HttpServer cutting([&](const HttpRequest& request) {
    HttpReply reply = reply_with_range(fixture.packed, request);
    reply.cut_after = request.range_start ? 0 : 120000;
    return reply;
  });
  REQUIRE_THROWS_AS(fixture.fetch({cutting.url()}), cdsp::WorkError);
  CHECK_FALSE(fs::exists(fixture.target()));
  CHECK(fs::file_size(fixture.part()) == 120000);

  const HttpServer good(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  CHECK(fixture.fetch({good.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  REQUIRE(good.requests().size() == 1);
  CHECK(good.requests()[0].range_start == 120000);
}

TEST_CASE("A server that ignores the range starts the file over", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server([&](const HttpRequest&) {
    HttpReply reply;
    reply.body = fixture.packed;
    return reply;
  });
  fixture.folder.write("task/file.gz.part", fixture.packed.substr(0, 5000));
  CHECK(fixture.fetch({server.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  REQUIRE(server.requests().size() == 1);
  CHECK(server.requests()[0].range_start == 5000);
}

TEST_CASE("Wrong bytes in a part do not spoil a good mirror", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  SECTION("a part of something else") {
    fixture.folder.write("task/file.gz.part", std::string(5000, 'x'));
  }
  SECTION("a part longer than the file") {
    fixture.folder.write("task/file.gz.part", fixture.packed + fixture.packed);
  }
  CHECK(fixture.fetch({server.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  REQUIRE(server.requests().size() == 2);
  CHECK(server.requests()[0].range_start);
  CHECK_FALSE(server.requests()[1].range_start);
}

TEST_CASE("A part that is already whole needs no mirror", "[data][fetch]") {
  Fixture fixture;
  fixture.folder.write("task/file.gz.part", fixture.packed);
  CHECK(fixture.fetch({}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
}

TEST_CASE("An answer that starts elsewhere than asked is refused", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server([&](const HttpRequest& request) {
    HttpRequest other = request;
    if (other.range_start) other.range_start = *other.range_start + 1;
    return reply_with_range(fixture.packed, other);
  });
  fixture.folder.write("task/file.gz.part", fixture.packed.substr(0, 5000));
  REQUIRE_THROWS_WITH(
      fixture.fetch({server.url()}),
      Catch::Matchers::ContainsSubstring("the answer is not the part that was asked for"));
  CHECK(Fixture::bytes_of(fixture.part()) == fixture.packed.substr(0, 5000));
}

TEST_CASE("When all mirrors fail, each is named with its reason and no file takes the name",
          "[data][fetch]") {
  Fixture fixture;
  const HttpServer missing([](const HttpRequest&) { return with_status(404); });
  const HttpServer broken([](const HttpRequest&) { return with_status(500); });
  const HttpServer wrong([](const HttpRequest&) {
    HttpReply reply;
    reply.body = "something else";
    return reply;
  });
  std::string closed_port;
  {
    closed_port = HttpServer([](const HttpRequest&) { return HttpReply(); }).url();
  }
  try {
    fixture.fetch({missing.url(), broken.url(), wrong.url(), closed_port});
    FAIL("the fetch must fail");
  } catch (const cdsp::WorkError& error) {
    const std::string message = error.what();
    CHECK_THAT(message,
               Catch::Matchers::ContainsSubstring("task/file.gz: could not be downloaded"));
    CHECK_THAT(message, Catch::Matchers::ContainsSubstring(missing.url() + ": status 404"));
    CHECK_THAT(message, Catch::Matchers::ContainsSubstring(broken.url() + ": status 500"));
    CHECK_THAT(message, Catch::Matchers::ContainsSubstring(wrong.url() + ": wrong MD5"));
    CHECK_THAT(message, Catch::Matchers::ContainsSubstring(closed_port + ": "));
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK_FALSE(fs::exists(fixture.target()));
  CHECK_FALSE(fs::exists(fixture.part()));
}

TEST_CASE("A redirect is followed", "[data][fetch]") {
  Fixture fixture;
  const HttpServer server([&](const HttpRequest& request) {
    if (request.path == "/elsewhere/file.gz") return reply_with_range(fixture.packed, request);
    HttpReply reply = with_status(302);
    reply.headers = "Location: /elsewhere/file.gz\r\n";
    return reply;
  });
  CHECK(fixture.fetch({server.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
}

TEST_CASE("A server that stalls is left for the next mirror, which completes the part",
          "[data][fetch]") {
  Fixture fixture;
  fixture.options.limits.stall_seconds = 1;
  fixture.options.attempts_per_mirror = 1;
  const HttpServer stalling([&](const HttpRequest& request) {
    HttpReply reply = reply_with_range(fixture.packed, request);
    reply.cut_after = 50;
    reply.stall_seconds = 20;
    return reply;
  });
  const HttpServer good(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  CHECK(fixture.fetch({stalling.url(), good.url()}) == FetchOutcome::kDownloaded);
  fixture.check_stored();
  REQUIRE(good.requests().size() == 1);
  CHECK(good.requests()[0].range_start == 50);
}

TEST_CASE("An endless answer is cut off", "[data][fetch]") {
  Fixture fixture;
  fixture.options.limits.most_bytes = 100000;
  const HttpServer server(
      [&](const HttpRequest& request) { return reply_with_range(fixture.packed, request); });
  REQUIRE_THROWS_WITH(fixture.fetch({server.url()}),
                      Catch::Matchers::ContainsSubstring("longer than 100000 bytes"));
  CHECK_FALSE(fs::exists(fixture.part()));
}

TEST_CASE("Only http and https are spoken", "[data][fetch]") {
  Fixture fixture;
  fixture.folder.write("source/file.gz", fixture.packed);
  REQUIRE_THROWS_AS(fixture.fetch({"file://" + (fixture.folder.path() / "source").string()}),
                    cdsp::WorkError);
  CHECK_FALSE(fs::exists(fixture.target()));
}

TEST_CASE("Two processes do not write into the same part", "[data][fetch]") {
  Fixture fixture;
  fs::create_directories(fixture.target().parent_path());
  const cdsp::PartFile held(fixture.target());
  REQUIRE_THROWS_AS(fixture.fetch({}), cdsp::WorkError);
  REQUIRE_THROWS_WITH(fixture.fetch({}), Catch::Matchers::ContainsSubstring(
                                             "another process is downloading this file"));
}

TEST_CASE("A folder that cannot be made is a failure of the work", "[data][fetch]") {
  Fixture fixture;
  fixture.folder.write("task", "a file in the folder's place");
  REQUIRE_THROWS_AS(fixture.fetch({}), cdsp::WorkError);
}

TEST_CASE("The table of public data sets is complete and well formed", "[data][fetch]") {
  CHECK(cdsp::original_tasks().size() == 3);
  for (const cdsp::OriginalTask& task : cdsp::original_tasks()) {
    CHECK_FALSE(task.mirrors.empty());
    for (const std::string& mirror : task.mirrors) CHECK(mirror.compare(0, 4, "http") == 0);
    for (const cdsp::RemoteFile& file : cdsp::remote_files(task)) {
      INFO(task.name << " " << file.name);
      CHECK(file.name.find("-ubyte.gz") != std::string::npos);
      CHECK(file.md5.size() == 32);
      CHECK((file.sha256.empty() || file.sha256.size() == 64));
      CHECK((file.content_md5.empty() || file.content_md5.size() == 32));
    }
  }
  CHECK(cdsp::find_original_task("kmnist") == &cdsp::original_tasks()[1]);
  CHECK(cdsp::find_original_task("imagenet") == nullptr);
}
