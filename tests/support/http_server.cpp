#include "support/http_server.h"

#include <algorithm>
#include <chrono>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cdsp::test {
namespace {

constexpr int kPollMilliseconds = 20;

HttpRequest parsed(const std::string& text) {
  HttpRequest request;
  std::istringstream lines(text);
  std::string line, method;
  std::getline(lines, line);
  std::istringstream(line) >> method >> request.path;
  const std::string range = "Range: bytes=";
  while (std::getline(lines, line)) {
    if (line.compare(0, range.size(), range) == 0)
      request.range_start = std::stoll(line.substr(range.size()));
  }
  return request;
}

void send_all(int connection, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t now = ::send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) return;  // the client has left
    sent += static_cast<size_t>(now);
  }
}

}  // namespace

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 8) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("no server can be started on the loopback interface");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

HttpServer::~HttpServer() {
  stop_ = true;
  thread_.join();
  ::close(listener_);
}

std::string HttpServer::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

std::vector<HttpRequest> HttpServer::requests() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

void HttpServer::serve() {
  while (!stop_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, kPollMilliseconds) <= 0) continue;
    const int connection = ::accept(listener_, nullptr, nullptr);
    if (connection < 0) continue;
    answer(connection);
    ::close(connection);
  }
}

void HttpServer::answer(int connection) {
  std::string text;
  while (text.find("\r\n\r\n") == std::string::npos) {
    pollfd waiting{connection, POLLIN, 0};
    char buffer[4096];
    if (::poll(&waiting, 1, 5000) <= 0) return;
    const ssize_t got = ::recv(connection, buffer, sizeof(buffer), 0);
    if (got <= 0) return;
    text.append(buffer, static_cast<size_t>(got));
  }
  const HttpRequest request = parsed(text);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back(request);
  }
  const HttpReply reply = handler_(request);
  send_all(connection, "HTTP/1.1 " + std::to_string(reply.status) +
                           " -\r\nContent-Length: " + std::to_string(reply.body.size()) +
                           "\r\nConnection: close\r\n" + reply.headers + "\r\n");
  send_all(connection, reply.body.substr(0, reply.cut_after.value_or(reply.body.size())));
  for (int slept = 0; slept < reply.stall_seconds.value_or(0) * 1000 && !stop_;
       slept += kPollMilliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMilliseconds));
  }
}

HttpReply reply_with_range(const std::string& content, const HttpRequest& request) {
  HttpReply reply;
  if (!request.range_start) {
    reply.body = content;
    return reply;
  }
  const auto start = static_cast<size_t>(*request.range_start);
  const std::string size = std::to_string(content.size());
  if (start >= content.size()) {
    reply.status = 416;
    reply.headers = "Content-Range: bytes */" + size + "\r\n";
    return reply;
  }
  reply.status = 206;
  reply.body = content.substr(start);
  reply.headers = "Content-Range: bytes " + std::to_string(start) + "-" +
                  std::to_string(content.size() - 1) + "/" + size + "\r\n";
  return reply;
}

}  // namespace cdsp::test
