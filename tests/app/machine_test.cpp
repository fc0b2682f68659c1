// cdsp info and cdsp bench.
#include <string>

#include <nlohmann/json.hpp>

#include "support/background_program.h"
#include "support/catch.h"

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

}  // namespace

TEST_CASE("info tells versions, BLAS, devices and threads", "[app]") {
  const auto results = run_programs({{"info"}, {"info", "--json"}});
  for (const ProgramResult& result : results) CHECK(result.exit_code == 0);
  const Json facts = Json::parse(results[1].output);
  for (const char* name : {"cdsp", "libtorch", "blas", "build_flags"}) {
    CHECK(facts.at(name).is_string());
    CHECK_THAT(results[0].output, ContainsSubstring(std::string(name) + ":"));
  }
  for (const char* name : {"cores", "threads", "cuda_devices"}) {
    CHECK(facts.at(name).is_number_integer());
    CHECK_THAT(results[0].output, ContainsSubstring(std::string(name) + ":"));
  }
  // A line and an entry for each CUDA device, none where there is none.
  const Json& devices = facts.at("cuda_device_list");
  CHECK(devices.size() == facts.at("cuda_devices"));
  CHECK((results[0].output.find("\ncuda:0: ") != std::string::npos) == !devices.empty());
  for (const Json& device : devices) {
    CHECK_THAT(results[0].output,
               ContainsSubstring(device.at("name").get<std::string>() + ", compute capability " +
                                 device.at("compute_capability").get<std::string>() + ", "));
    CHECK(device.at("memory_bytes").get<int64_t>() > 0);
  }
  // Slow arithmetic is said aloud, and only then.
  const bool warned = results[0].errors.find("warning") != std::string::npos;
  CHECK(warned == facts.at("blas_is_slow_reference").get<bool>());
}

TEST_CASE("bench step measures every combination", "[app]") {
  const std::vector<std::string> call = {
      "bench",   "step",        "--variant", "blind,cdsp", "--batch",   "4,8",
      "--steps", "1",           "--repeats", "1",          "--threads", "1",
      "--set",   "moe.top_k=1", "--device",  "cpu",        "--set",     "model.d_model=16"};
  auto json_call = call;
  json_call.emplace_back("--json");
  const auto results = run_programs({call, json_call});
  for (const ProgramResult& result : results) {
    INFO(result.errors);
    REQUIRE(result.exit_code == 0);
  }
  CHECK_THAT(results[0].output, ContainsSubstring("images/s"));
  CHECK_THAT(results[0].output, ContainsSubstring("peak memory"));
  const Json settings = Json::parse(results[1].output);
  REQUIRE(settings.size() == 4);
  CHECK(settings[0].at("variant") == "blind");
  CHECK(settings[3].at("variant") == "cdsp");
  CHECK(settings[3].at("batch") == 8);
  for (const Json& setting : settings) {
    CHECK(setting.at("threads") == 1);
    CHECK(setting.at("dtype") == "float32");
    CHECK_FALSE(setting.at("engine").get<std::string>().empty());
    const double milliseconds = setting.at("ms_per_step");
    CHECK(milliseconds > 0.0);
    CHECK(setting.at("images_per_s").get<double>() ==
          Catch::Approx(setting.at("batch").get<double>() * 1000.0 / milliseconds));
    CHECK(setting.at("peak_memory_bytes").get<int64_t>() > 1000000);
  }
}
