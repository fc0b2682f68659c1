// A small HTTP server on the loopback interface for tests: one connection at a time, one request
// each.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace cdsp::test {

struct HttpRequest {
  std::string path;
  std::optional<int64_t> range_start;  // of a header "Range: bytes=N-"
};

struct HttpReply {
  int status = 200;
  std::string body;
  std::string headers;               // further header lines, each ending in \r\n
  std::optional<size_t> cut_after;   // close the connection after so many bytes of the body
  std::optional<int> stall_seconds;  // keep it open that long instead before closing it
};

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  /// Listens on 127.0.0.1, on a port that the system picks, until destroyed.
  explicit HttpServer(Handler handler);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  /// "http://127.0.0.1:PORT"
  std::string url() const;
  /// All requests so far, in order.
  std::vector<HttpRequest> requests() const;

 private:
  void serve();
  void answer(int connection);

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<HttpRequest> requests_;
  std::thread thread_;
};

/// The whole content, or from the start of the range on, as a server that knows ranges answers.
HttpReply reply_with_range(const std::string& content, const HttpRequest& request);

}  // namespace cdsp::test
