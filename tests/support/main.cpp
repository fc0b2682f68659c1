#define CATCH_CONFIG_RUNNER
#include "support/catch.h"
#include "support/pretend_gpu.h"

int main(int argc, char** argv) {
  cdsp::test::connect_pretend_gpu();
  return Catch::Session().run(argc, argv);
}
