#include "data/http_download.h"

#include <array>
#include <charconv>
#include <exception>
#include <memory>
#include <new>
#include <string_view>

#include <curl/curl.h>
#include <strings.h>

namespace cdsp {
namespace {

constexpr long kOk = 200, kPartialContent = 206, kFirstErrorStatus = 400,
               kRangeNotSatisfiable = 416;
constexpr long kMostRedirects = 10;
constexpr long kSlowestBytesPerSecond = 100;

struct EndHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

/// What the callbacks of one transfer share.
struct Exchange {
  Exchange(CURL* the_handle, PartFile& the_part, const TransferLimits& the_limits,
           const std::function<void(int64_t, int64_t)>& the_progress)
      : handle(the_handle),
        part(the_part),
        limits(the_limits),
        progress(the_progress),
        asked_from(the_part.size()) {}

  CURL* handle;
  PartFile& part;
  const TransferLimits& limits;
  const std::function<void(int64_t, int64_t)>& progress;
  int64_t asked_from;         // first byte asked for
  int64_t answered_from = 0;  // first byte of the answer
  bool body_started = false;
  std::string refusal;         // why the answer is not taken
  std::exception_ptr failure;  // the disk's, carried through the C library

  long status() const {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
};

/// "Content-Range: bytes 100-199/200" -> 100; another header -> nothing happens.
size_t on_header(char* text, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(text, size);
  constexpr std::string_view kName = "content-range:";
  if (line.substr(0, 5) == "HTTP/") exchange.answered_from = 0;  // a new answer, after a redirect
  if (size < kName.size() || ::strncasecmp(text, kName.data(), kName.size()) != 0) return size;
  const size_t digits = line.find_first_of("0123456789", kName.size());
  if (digits != std::string_view::npos) {
    std::from_chars(line.data() + digits, line.data() + line.size(), exchange.answered_from);
  }
  return size;
}

size_t on_body(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  try {
    if (!exchange.body_started) {
      exchange.body_started = true;
      const long status = exchange.status();
      if (status == kOk) {
        exchange.part.clear();
      } else if (status != kPartialContent || exchange.answered_from != exchange.asked_from) {
        exchange.refusal = "the answer is not the part that was asked for";
        return 0;
      }
    }
    if (exchange.part.size() + static_cast<int64_t>(size) > exchange.limits.most_bytes) {
      exchange.refusal =
          "the answer is longer than " + std::to_string(exchange.limits.most_bytes) + " bytes";
      exchange.part.clear();
      return 0;
    }
    exchange.part.append(data, size);
    return size;
  } catch (...) {
    exchange.failure = std::current_exception();
    return 0;
  }
}

int on_progress(void* user, curl_off_t expected, curl_off_t, curl_off_t, curl_off_t) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (!exchange.body_started || !exchange.progress) return 0;
  const int64_t before = exchange.status() == kPartialContent ? exchange.asked_from : 0;
  try {
    exchange.progress(exchange.part.size(), expected > 0 ? before + expected : 0);
  } catch (...) {
    exchange.failure = std::current_exception();
    return 1;
  }
  return 0;
}

void set_protocols(CURL* handle) {
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

bool is_interruption(CURLcode code) {
  return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
         code == CURLE_GOT_NOTHING || code == CURLE_OPERATION_TIMEDOUT ||
         code == CURLE_HTTP2_STREAM;
}

}  // namespace

Transfer download(const std::string& url, PartFile& part, const TransferLimits& limits,
                  const std::function<void(int64_t, int64_t)>& progress) {
  static const CURLcode library = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, EndHandle> owner(library == CURLE_OK ? curl_easy_init() : nullptr);
  if (!owner) throw std::bad_alloc();
  CURL* handle = owner.get();
  Exchange exchange(handle, part, limits, progress);
  std::array<char, CURL_ERROR_SIZE> message{};
  const std::string range = std::to_string(part.size()) + "-";

  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "cdsp");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(handle, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(handle, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, limits.connect_seconds);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, kSlowestBytesPerSecond);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, limits.stall_seconds);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, message.data());
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &exchange);
  set_protocols(handle);
  // Not CURLOPT_RESUME_FROM: that one gives up where a server ignores the range.
  if (part.size() > 0) curl_easy_setopt(handle, CURLOPT_RANGE, range.c_str());

  const CURLcode code = curl_easy_perform(handle);
  if (exchange.failure) std::rethrow_exception(exchange.failure);
  const long status = exchange.status();
  const bool was_resumed = exchange.body_started && status == kPartialContent;
  if (!exchange.refusal.empty()) return {TransferEnd::kRefused, exchange.refusal, was_resumed};
  if (status == kRangeNotSatisfiable && exchange.asked_from > 0) {
    return {TransferEnd::kBeyondEnd, "the server has no bytes beyond the part", was_resumed};
  }
  if (status >= kFirstErrorStatus)
    return {TransferEnd::kRefused, "status " + std::to_string(status), was_resumed};
  if (code == CURLE_OK) {
    if (exchange.body_started) return {TransferEnd::kComplete, "", was_resumed};
    return {TransferEnd::kRefused, "the answer is empty (status " + std::to_string(status) + ")",
            false};
  }
  const std::string reason = message[0] != '\0' ? message.data() : curl_easy_strerror(code);
  return {is_interruption(code) ? TransferEnd::kInterrupted : TransferEnd::kRefused, reason,
          was_resumed};
}

}  // namespace cdsp
