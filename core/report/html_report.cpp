#include "report/html_report.h"

#include "cdsp_version.h"
#include "report/page/background_sections.h"
#include "report/page/claims_section.h"
#include "report/page/curves.h"
#include "report/page/experiments.h"
#include "report/page/html_table.h"
#include "report/page/page_numbers.h"
#include "report/page/results_section.h"

namespace cdsp {
namespace {

using namespace cdsp::page;

/// Sections in the order of the page, with the contents list that names them.
class Page {
 public:
  void add(const std::string& id, const std::string& title, const Html& body) {
    contents_ += fill("contents-item", {{"id", id}, {"title", title}});
    sections_ += fill("section", {{"id", id}, {"title", title}, {"body", body}});
  }
  const Html& contents() const { return contents_; }
  const Html& sections() const { return sections_; }

 private:
  Html contents_, sections_;
};

std::string title_of(const ReportData& data) {
  if (data.comparison) return "CDSP-MoE: comparison of arms";
  if (data.ablation) return "CDSP-MoE: ablation of " + data.ablation->key;
  if (!data.runs.empty()) {
    return "CDSP-MoE: run of " + arm_title(data.runs.front().arm) + ", seed " +
           std::to_string(data.runs.front().seed);
  }
  return data.claims ? "CDSP-MoE: claims" : "CDSP-MoE: checks of the theory";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::vector<std::string> titles_of(const std::vector<std::string>& arms) {
  std::vector<std::string> titles;
  titles.reserve(arms.size());
  for (const std::string& arm : arms) titles.push_back(arm_title(arm));
  return titles;
}

/// What the page is about, and what is missing.
Html overview(const ReportData& data) {
  Html facts;
  const auto fact = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts += fill("fact", {{"name", name}, {"value", value}});
  };
  if (data.comparison) {
    fact("Suite", data.comparison->suite);
    fact("Tasks", joined(data.comparison->tasks));
    fact("Seeds", seeds_in_words(data.comparison->seeds));
  } else if (data.ablation) {
    fact("Key", data.ablation->key);
    fact("Config", data.ablation->config);
    fact("Tasks", joined(data.ablation->tasks));
    fact("Seeds", seeds_in_words(data.ablation->seeds));
  } else if (!data.runs.empty()) {
    fact("Tasks", joined(data.runs.front().tasks));
    fact("Status", data.runs.front().status);
  }
  fact("Arms", joined(titles_of(data.arms())));
  const TrainingFacts facts_known = training_facts(data);
  fact("Labels", facts_known.labels);
  fact("Training images", images_in_words(facts_known.tasks, facts_known.train_images));
  fact("Test images", images_in_words(facts_known.tasks, facts_known.test_images));
  fact("Optimiser steps of a run", range_in_words(facts_known.steps));
  fact("Epochs of a run", range_in_words(facts_known.epochs));
  if (!data.runs.empty()) fact("Runs", std::to_string(data.runs.size()));
  if (data.claims) fact("Claims", verdicts_in_words(*data.claims));
  Html body = fill("facts", {{"facts", facts}});
  Html notes;
  for (const std::string& sentence : data.missing) notes += fill("note", {{"text", sentence}});
  if (!notes.empty()) body += fill("notes", {{"notes", notes}});
  return body;
}

void add_results(Page& page, const ReportData& data, FigureSet& figures) {
  if (data.comparison) page.add("results", "Results", comparison_results(data));
  if (data.ablation) page.add("ablation", "Ablation", ablation_results(data, figures));
  if (!data.comparison && !data.ablation && data.runs.size() == 1) {
    page.add("results", "Results", run_results(data.runs.front()));
  }
  if (data.claims) page.add("claims", "The paper's claims", claims_section(*data.claims, figures));
}

void add_experiments(Page& page, const ReportData& data, FigureSet& figures) {
  if (!data.comparison) {
    if (!data.runs.empty()) {
      page.add("routing", "Routing and topology", routing_section(data, figures));
    }
    return;
  }
  const Roles roles = roles_of(data);
  page.add("experiment-1", "Experiment I: emergent modularity",
           emergent_modularity(data, roles, figures));
  page.add("experiment-2", "Experiment II: instruction overfitting",
           instruction_overfitting(data, roles, figures));
  page.add("experiment-3", "Experiment III: necessity of conflict",
           necessity_of_conflict(data, roles, figures));
}

}  // namespace

HtmlReport html_report(const ReportData& data) {
  FigureSet figures(routing_scale_of(data));
  Page page;
  page.add("overview", "At a glance", overview(data));
  add_results(page, data, figures);
  add_experiments(page, data, figures);
  if (!data.runs.empty()) page.add("curves", "Learning curves", curves_section(data, figures));
  if (data.theory) {
    int number = 0;
    for (const TheoryPart& part : *data.theory) {
      page.add("theory-" + std::to_string(++number), part.title, theory_part(part, figures));
    }
  }
  if (!data.runs.empty()) {
    page.add("config", "Configuration", config_section(data));
    page.add("measures", "What the measures mean", fill("measures"));
    page.add("provenance", "Provenance", provenance_section(data));
  }
  const std::string title = title_of(data);
  HtmlReport report;
  report.html = fill("page", {{"title", title},
                              {"css", Html{template_text("report.css")}},
                              {"js", Html{template_text("report.js")}},
                              {"colours", script_json(colour_steps())},
                              {"contents", page.contents()},
                              {"sections", page.sections()},
                              {"version", CDSP_VERSION},
                              {"commit", CDSP_GIT_COMMIT}})
                    .markup;
  report.figures = figures.files();
  return report;
}

}  // namespace cdsp
