// Tells the thread sanitizer what it cannot see: that the OpenMP runtime, which is not
// instrumented, starts its threads after all that the caller did before, and ends them before all
// that the caller does next. In other builds nothing.
//
// Threads of one region are not ordered among each other: their races are what it is to find.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define CDSP_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CDSP_THREAD_SANITIZER 1
#endif
#endif

#if defined(CDSP_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace cdsp {

class ThreadOrder {
 public:
  static void before_threads() { release(begun_); }
  static void thread_begins() { acquire(begun_); }
  static void thread_ends() { release(ended_); }
  static void after_threads() { acquire(ended_); }

 private:
#if defined(CDSP_THREAD_SANITIZER)
  static void release(char& event) { __tsan_release(&event); }
  static void acquire(char& event) { __tsan_acquire(&event); }
#else
  static void release(char&) {}
  static void acquire(char&) {}
#endif

  inline static char begun_ = 0, ended_ = 0;
};

}  // namespace cdsp
