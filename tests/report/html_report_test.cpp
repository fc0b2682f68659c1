// The page as a whole, from folders of every kind.
#include "report/html_report.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <regex>
#include <string>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "report/comparison_fixture.h"
#include "report/page/html_table.h"
#include "report/page/template.h"
#include "report/training_facts.h"
#include "report/well_formed.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

HtmlReport report_of(const fs::path& folder) { return html_report(page::read_report_data(folder)); }

/// What a browser would fetch: only the page's own parts (#...) and data: may be named.
bool asks_for_nothing(const std::string& html) {
  static const std::regex reference(R"((?:href|src|action|poster|data)="([^"]*)\")");
  for (std::sregex_iterator it(html.begin(), html.end(), reference), end; it != end; ++it) {
    const std::string target = (*it)[1];
    if (target.rfind('#', 0) != 0 && target.rfind("data:", 0) != 0) return false;
  }
  return html.find("url(") == std::string::npos && html.find("@import") == std::string::npos;
}

const std::string kNumbers = "<script type=\"application/json\" data-numbers>";

/// What stands in the first script element that begins so, after `from`.
nlohmann::json json_after(const std::string& html, const std::string& start, size_t from) {
  const size_t at = html.find(start, from) + start.size();
  return nlohmann::json::parse(html.substr(at, html.find("</script>", at) - at));
}

std::string complaint_of(const fs::path& folder) {
  return message_of<InputError>([&] { page::read_report_data(folder); });
}

}  // namespace

TEST_CASE("a comparison's page", "[report]") {
  const TemporaryFolder folder;
  ComparisonShape shape;
  shape.arms.emplace_back("no-conflict");
  write_comparison(folder.path(), shape);
  const HtmlReport report = report_of(folder.path());
  for (const char* part :
       {"<h1>CDSP-MoE: comparison of arms</h1>", "id=\"experiment-1\"", "id=\"experiment-2\"",
        "id=\"experiment-3\"", "id=\"claims\"", "id=\"config\"", "id=\"provenance\"", "95.14",
        "Published (%)", "94.00 ± 1.00", "92.00 to 96.00", "Linear softmax on pixels", "81.25",
        "not supported", "What claim C11 says", "conflict.lambda", "0123456789abcdef",
        "2 supported, 1 not supported, 1 inconclusive"}) {
    CHECK_THAT(report.html, ContainsSubstring(part));
  }
  CHECK(asks_for_nothing(report.html));
  CHECK(report.html.find(">nan") == std::string::npos);
  CHECK(report.html.find("What is missing") == std::string::npos);
  REQUIRE(report.figures.size() > 20);
  for (const auto& [name, svg] : report.figures) {
    CAPTURE(name);
    CHECK(is_well_formed(svg));
    CHECK(report.html.find(svg) != std::string::npos);
    CHECK(std::regex_match(name, std::regex(R"([A-Za-z0-9._+-]+\.svg)")));
  }
}

TEST_CASE("what the slider shows is what the files say", "[report]") {
  const TemporaryFolder folder;
  write_comparison(folder.path(), {});
  const std::string html = report_of(folder.path()).html;
  CHECK(json_after(html, "<script type=\"application/json\" id=\"colour-scale\">", 0).size() ==
        101);
  const auto numbers = json_after(html, kNumbers, html.find("data-explorer"));
  const auto& arm = numbers.at("arms").at("cdsp");
  REQUIRE(arm.at("runs").size() == 3);
  CHECK(arm.at("runs")[2].at("seed") == "2");
  CHECK(arm.at("runs")[2].at("epochs") == nlohmann::json({1, 2, 3, 4}));
  CHECK(arm.at("panels").size() == 6);
  CHECK(numbers.at("arms").at("baseline").at("panels").size() == 2);
  const auto run = page::read_run(folder.path() / "cdsp" / "seed_2");
  const auto& routing = arm.at("panels")[1];
  CHECK(routing.at("kind") == "routing");
  CHECK(routing.at("layer") == 1);
  CHECK(routing.at("values")[2][2][8 * 2 + 5].get<double>() / 1e4 ==
        Catch::Approx(run.tables.at(3).routing[1][2][5]).margin(5e-5));
}

TEST_CASE("routing of every seed can be chosen, informed and withheld", "[report]") {
  const TemporaryFolder folder;
  ComparisonShape shape;
  shape.arms.insert(shape.arms.end(), {"no-conflict", "cdsp-blind"});
  write_comparison(folder.path(), shape);
  const auto data = page::read_report_data(folder.path());
  const std::string html = html_report(data).html;
  const auto numbers = json_after(html, kNumbers, html.find("Routing of every arm"));
  CHECK(numbers.at("seeds") == nlohmann::json({"0", "1", "2"}));
  // CDSP and two more told and withheld; the blind baseline is never told.
  REQUIRE(numbers.at("panels").size() == 7);
  const auto& first = numbers.at("panels")[0];
  CHECK(first.at("values")[1][8 + 3].get<double>() / 1e4 ==
        Catch::Approx(data.runs_of("cdsp")[1]->informed[0][1][3]).margin(5e-5));
  for (const char* title : {"no-conflict, informed", "cdsp-blind, task withheld"}) {
    CHECK_THAT(html, ContainsSubstring(title));
  }
}

TEST_CASE("the three experiments' own tables are on the page", "[report]") {
  const TemporaryFolder folder;
  ComparisonShape shape;
  shape.arms.emplace_back("no-conflict");
  write_comparison(folder.path(), shape);
  const HtmlReport report = report_of(folder.path());
  for (const char* part :
       {"Pearson, mnist and kmnist", "0.910 [0.900, 0.920]", "What became of each task",
        "CDSP minus the arm at the same seeds", "0.040 [-0.083, 0.163]", "CDSP − no-conflict"}) {
    CHECK_THAT(report.html, ContainsSubstring(part));
  }
  std::map<std::string, std::string> figures(report.figures.begin(), report.figures.end());
  for (const char* figure : {"separation_index_by_arm.svg", "blind_separation_index_by_arm.svg",
                             "separation_index_differences.svg"}) {
    CAPTURE(figure);
    REQUIRE(figures.count(figure) == 1);
    CHECK_THAT(figures[figure], ContainsSubstring("no-conflict"));
  }
  // A network that is never told the task has no informed routing to speak of.
  CHECK(figures["separation_index_by_arm.svg"].find("Blind baseline") == std::string::npos);
  CHECK(figures["separation_index_by_epoch.svg"].find("Blind baseline") == std::string::npos);
  fs::remove_all(folder.path() / "experiments");
  CHECK_THAT(report_of(folder.path()).html, ContainsSubstring("There is no folder experiments"));
}

TEST_CASE("published figures come with what they were measured under", "[report]") {
  const TemporaryFolder folder;
  write_comparison(folder.path(), {});
  const std::string html = report_of(folder.path()).html;
  for (const char* part :
       {"The published columns.", "coarse labels", "60,000 training images a task",
        "14,000 to 28,000 optimiser steps",
        "Here: native labels, training images 7,876 a task, "
        "optimiser steps 24, 3 seeds",
        "Optimiser steps of a run</dt><dd>24</dd>", "Training images</dt><dd>7,876 a task</dd>",
        "Test images</dt><dd>mnist 100, kmnist 100, fashion-mnist 200</dd>",
        "Epochs of a run</dt><dd>4</dd>", "Labels</dt><dd>native</dd>"}) {
    CHECK_THAT(html, ContainsSubstring(part));
  }
  TrainingFacts alike{"coarse", {"a"}, {60000}, {}, {14070}, {10}, 1};
  CHECK(published_caveat(alike).find("do not measure the same") == std::string::npos);
  alike.steps = {1850, 14070};
  CHECK_THAT(published_caveat(alike), ContainsSubstring("1,850 to 14,070"));
  CHECK_THAT(published_caveat(alike), ContainsSubstring("do not measure the same"));
}

TEST_CASE("claims are worded as their data are", "[report]") {
  const TemporaryFolder folder;
  write_comparison(folder.path(), {});
  const std::string html = report_of(folder.path()).html;
  // The sentence says what decides, in the table of claims and beside their experiment.
  const std::string finding =
      "What claim C4 says. <span class=\"soft\">By a test it is not supported.</span>";
  CHECK(html.find(finding) != html.rfind(finding));
  // Accuracies are in points here as in the tables; what numbers do not tell stands with a part.
  CHECK_THAT(html, ContainsSubstring("inconclusive (all equal, as drawn)"));
  CHECK_THAT(html, ContainsSubstring("20 [10, 30]"));
  CHECK_THAT(html, ContainsSubstring("percentage points"));
  auto claims = nlohmann::json::parse(read_file(folder.path() / "claims.json"));
  claims["seeds"] = {4};
  folder.write("claims.json", claims.dump());
  const std::string one = report_of(folder.path()).html;
  CHECK_THAT(one, ContainsSubstring("Only seed 4 was run."));
  CHECK(one.find("over seeds 4") == std::string::npos);
}

TEST_CASE("measures are named in words", "[report]") {
  const std::vector<std::string> tasks = {"mnist", "kmnist", "fashion-mnist"};
  CHECK(page::style_of_measure("blind_jensen_shannon_0_1", tasks).title ==
        "Jensen-Shannon divergence, mnist and kmnist, task withheld (bits)");
  CHECK(page::style_of_measure("pearson_0_2", tasks).title ==
        "Pearson correlation, mnist and fashion-mnist, informed");
  CHECK(page::style_of_measure("blind_loss").title == "Test loss, task withheld (nats)");
  CHECK(page::style_of_measure("test_accuracy_gap_to_baseline").sign);
  CHECK(page::style_of_measure("some_new_accuracy").title == "Some new accuracy (%)");
  CHECK(page::style_of_measure("pearson_0_7", tasks).title ==
        "Pearson correlation, mnist and task 7, informed");
}

TEST_CASE("text from files does not become markup", "[report]") {
  const TemporaryFolder folder;
  write_comparison(folder.path(), {});
  auto claims = nlohmann::json::parse(read_file(folder.path() / "claims.json"));
  claims["claims"][0]["title"] = "<script>alert(1)</script> & \"more\"";
  folder.write("claims.json", claims.dump());
  auto comparison = nlohmann::json::parse(read_file(folder.path() / "comparison.json"));
  comparison["tasks"][0] = "</script><b>";
  comparison["suite"] = "<img src=x>";
  folder.write("comparison.json", comparison.dump());
  const HtmlReport report = report_of(folder.path());
  CHECK(report.html.find("<script>alert") == std::string::npos);
  CHECK(report.html.find("<b>\"") == std::string::npos);
  CHECK(report.html.find("<img") == std::string::npos);
  CHECK_THAT(report.html, ContainsSubstring("&lt;script&gt;alert(1)"));
  for (const auto& [name, svg] : report.figures) CHECK(is_well_formed(svg));
}

TEST_CASE("ten seeds of six arms stay below 5 MB", "[report]") {
  const TemporaryFolder folder;
  ComparisonShape shape;
  shape.arms = {"baseline", "blind", "cdsp", "no-conflict", "sigmoid", "self-loop"};
  shape.seeds = 10;
  shape.epochs = 10;
  shape.steps_an_epoch = 37;
  write_comparison(folder.path(), shape);
  const HtmlReport report = report_of(folder.path());
  CHECK(report.html.size() < 5'000'000);
  CHECK_THAT(report.html, ContainsSubstring("data-arm=\"self-loop\""));
  CHECK(report.html.find("The page has room for the first") == std::string::npos);
}

TEST_CASE("a page has room for so many seeds, and says how many", "[report]") {
  const TemporaryFolder folder;
  ComparisonShape shape;
  shape.arms = {"cdsp"};
  shape.seeds = 4;
  shape.epochs = 400;
  shape.steps_an_epoch = 1;
  write_comparison(folder.path(), shape);
  const std::string html = report_of(folder.path()).html;
  CHECK(html.size() < 5'000'000);
  CHECK_THAT(html, ContainsSubstring("The page has room for the first 3 of 4 seeds"));
  const auto numbers = json_after(html, kNumbers, html.find("data-explorer"));
  CHECK(numbers.at("arms").at("cdsp").at("runs").size() == 3);
}

TEST_CASE("what is missing is said", "[report]") {
  const TemporaryFolder folder;
  ComparisonShape shape;
  shape.claims = false;
  shape.seeds = 1;
  write_comparison(folder.path(), shape);
  fs::remove_all(folder.path() / "blind" / "seed_0");
  folder.write("cdsp/seed_0/run.json", R"({"status": "failed", "message": "loss is not finite"})");
  fs::remove(folder.path() / "baseline" / "seed_0" / "metrics.csv");
  const std::string html = report_of(folder.path()).html;
  for (const char* part :
       {"What is missing", "There is no claims.json", "blind seed 0: its folder is not there",
        "it is not finished (failed: loss is not finite)", "there is no metrics.csv",
        "A CDSP network without the conflict term is not among"}) {
    CHECK_THAT(html, ContainsSubstring(part));
  }
}

TEST_CASE("a run's page, whole and at its beginning", "[report]") {
  const TemporaryFolder folder;
  write_run(folder.path() / "run", "cdsp", 7, {});
  const std::string html = report_of(folder.path() / "run").html;
  for (const char* part :
       {"CDSP-MoE: run of CDSP, seed 7", "there is no blind evaluation", "Test accuracy by task",
        "Overlap of subspaces, layer 1, CDSP", "Everything that run.json says"}) {
    CHECK_THAT(html, ContainsSubstring(part));
  }
  folder.write("begun/config.yaml", "variant: baseline\n");
  const std::string begun = report_of(folder.path() / "begun").html;
  for (const char* part :
       {"there is no run.json", "no epoch is finished", "No run has written a curve yet"}) {
    CHECK_THAT(begun, ContainsSubstring(part));
  }
}

TEST_CASE("an ablation's page, with the theory beside it", "[report]") {
  const TemporaryFolder folder;
  write_ablation(folder.path(), {});
  write_theory(folder.path());
  const std::string html = report_of(folder.path()).html;
  for (const char* part :
       {"CDSP-MoE: ablation of conflict.lambda", "conflict.lambda=10", "Test accuracy (%)",
        "Lemma 1", "Half of all pairs conflict.", "Chance of conflict", "By dimension"}) {
    CHECK_THAT(html, ContainsSubstring(part));
  }
  const TemporaryFolder theory;
  write_theory(theory.path());
  CHECK_THAT(report_of(theory.path()).html, ContainsSubstring("checks of the theory"));
}

TEST_CASE("broken files are named", "[report]") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint_of(folder.path()), ContainsSubstring("holds nothing to report"));
  CHECK_THAT(complaint_of(folder.path() / "nowhere"), ContainsSubstring("is not a folder"));
  write_comparison(folder.path(), {});
  const auto broken = [&](const std::string& name, const std::string& content) {
    const std::string whole = read_file(folder.path() / name);
    folder.write(name, content);
    std::string message = complaint_of(folder.path());
    folder.write(name, whole);
    return message;
  };
  CHECK_THAT(broken("comparison.json", "{"), ContainsSubstring("comparison.json: is not"));
  CHECK_THAT(broken("comparison.json", "{\"tasks\": []}"),
             ContainsSubstring("key 'arms' not found"));
  CHECK_THAT(broken("claims.json", "[]"), ContainsSubstring("claims.json: is not"));
  CHECK_THAT(broken("cdsp/seed_0/summary.json", "{}"), ContainsSubstring("key 'train'"));
  CHECK_THAT(broken("cdsp/seed_1/config.yaml", "variant: other\n"),
             ContainsSubstring("seed_1/config.yaml:1"));
  CHECK_THAT(broken("cdsp/seed_0/metrics.csv", "step,epoch\n1\n"),
             ContainsSubstring("metrics.csv:2"));
  CHECK_THAT(broken("cdsp/seed_0/routing/epoch_002.csv", "layer,task,expert_0\n1,mnist,1\n"),
             ContainsSubstring("epoch_002.csv:2: layers must follow"));
  CHECK(complaint_of(folder.path()).empty());
}

TEST_CASE("the claims for a terminal", "[report]") {
  const TemporaryFolder folder;
  write_comparison(folder.path(), {});
  const auto data = page::read_report_data(folder.path());
  const std::string text = claims_text(*data.claims);
  for (const char* part :
       {"95 % interval", "separation index, CDSP informed (bits)", "0.2 to 0.4", "> 0",
        "not supported", "1 not measured", "\nC4  By a test it is not supported.\n"}) {
    CHECK_THAT(text, ContainsSubstring(part));
  }
  const std::string whole = report_text(data, {false, false, true});
  CHECK_THAT(whole, ContainsSubstring("CDSP, seed 0, layer 0, task withheld"));
  CHECK_THAT(whole, ContainsSubstring("fashion-mnist"));
  CHECK_THAT(whole, ContainsSubstring(text));
}

TEST_CASE("templates are filled whole or not at all", "[report]") {
  using page::fill;
  using page::Html;
  CHECK(fill("paragraph", {{"text", "a < b & \"c\""}}).markup ==
        "<p>a &lt; b &amp; &quot;c&quot;</p>\n");
  CHECK(fill("paragraph", {{"text", Html{"<b>a</b>{{text}}"}}}).markup ==
        "<p><b>a</b>{{text}}</p>\n");
  CHECK_THROWS_AS(fill("paragraph"), std::logic_error);
  CHECK_THROWS_AS(fill("no such piece"), std::logic_error);
  CHECK_THROWS_AS(fill("paragraph", {{"text", ""}, {"more", ""}}), std::logic_error);
}

// Not among the tests by default: writes the report that tests/report/browser looks at.
TEST_CASE("a report to look at", "[.browser]") {
  const char* out = std::getenv("CDSP_REPORT_OUT");
  REQUIRE(out != nullptr);
  const fs::path folder = out;
  ComparisonShape shape;
  shape.arms.insert(shape.arms.end(), {"baseline-task-dropout", "cdsp-blind", "no-conflict"});
  write_comparison(folder, shape);
  write_theory(folder);
  const HtmlReport report = report_of(folder);
  fs::create_directories(folder / "figures");
  for (const auto& [name, svg] : report.figures) {
    write_file_atomically(folder / "figures" / name, svg);
  }
  write_file_atomically(folder / "report.html", report.html);
}
