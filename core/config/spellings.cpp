#include "config/spellings.h"

#include <stdexcept>

namespace cdsp {
namespace {

template <class Enum>
using Table = std::vector<Spelling<Enum>>;

template <class Enum>
const char* spelling_of(Enum value) {
  for (const auto& entry : spellings<Enum>())
    if (entry.value == value) return entry.text;
  throw std::logic_error("an enum value has no entry in its spelling table");
}

}  // namespace

template <>
const Table<Variant>& spellings<Variant>() {
  static const Table<Variant> table = {
      {Variant::kCdsp, "cdsp"}, {Variant::kBaseline, "baseline"}, {Variant::kBlind, "blind"}};
  return table;
}

template <>
const Table<DType>& spellings<DType>() {
  static const Table<DType> table = {{DType::kFloat32, "float32"}, {DType::kFloat64, "float64"}};
  return table;
}

template <>
const Table<HeadInit>& spellings<HeadInit>() {
  static const Table<HeadInit> table = {{HeadInit::kUniform, "uniform"},
                                        {HeadInit::kNormal, "normal"}};
  return table;
}

template <>
const Table<TopologyInit>& spellings<TopologyInit>() {
  static const Table<TopologyInit> table = {{TopologyInit::kMaxEntropy, "max_entropy"},
                                            {TopologyInit::kSelfLoop, "self_loop"}};
  return table;
}

template <>
const Table<RouterNorm>& spellings<RouterNorm>() {
  static const Table<RouterNorm> table = {{RouterNorm::kToken, "token"},
                                          {RouterNorm::kSequence, "sequence"}};
  return table;
}

template <>
const Table<DropoutUnit>& spellings<DropoutUnit>() {
  static const Table<DropoutUnit> table = {{DropoutUnit::kSample, "sample"},
                                           {DropoutUnit::kBatch, "batch"}};
  return table;
}

template <>
const Table<ConflictPenalty>& spellings<ConflictPenalty>() {
  static const Table<ConflictPenalty> table = {{ConflictPenalty::kLogit, "logit"},
                                               {ConflictPenalty::kGatedLogit, "gated_logit"},
                                               {ConflictPenalty::kSigmoid, "sigmoid"}};
  return table;
}

template <>
const Table<ConflictGradient>& spellings<ConflictGradient>() {
  static const Table<ConflictGradient> table = {{ConflictGradient::kUv, "uv"},
                                                {ConflictGradient::kU, "u"}};
  return table;
}

template <>
const Table<BalanceKind>& spellings<BalanceKind>() {
  static const Table<BalanceKind> table = {{BalanceKind::kSwitch, "switch"},
                                           {BalanceKind::kCv2, "cv2"}};
  return table;
}

template <>
const Table<DataSource>& spellings<DataSource>() {
  static const Table<DataSource> table = {{DataSource::kIdx, "idx"},
                                          {DataSource::kGlyphs, "glyphs"}};
  return table;
}

template <>
const Table<LabelScheme>& spellings<LabelScheme>() {
  static const Table<LabelScheme> table = {{LabelScheme::kNative, "native"},
                                           {LabelScheme::kCoarse, "coarse"}};
  return table;
}

template <>
const Table<Sampling>& spellings<Sampling>() {
  static const Table<Sampling> table = {{Sampling::kConcat, "concat"},
                                        {Sampling::kBalanced, "balanced"}};
  return table;
}

template <>
const Table<EngineChoice>& spellings<EngineChoice>() {
  static const Table<EngineChoice> table = {{EngineChoice::kAuto, "auto"},
                                            {EngineChoice::kReference, "reference"},
                                            {EngineChoice::kFused, "fused"},
                                            {EngineChoice::kEmulated, "emulated"}};
  return table;
}

template <>
const Table<StepForm>& spellings<StepForm>() {
  static const Table<StepForm> table = {{StepForm::kAuto, "auto"},
                                        {StepForm::kEager, "eager"},
                                        {StepForm::kDevice, "device"},
                                        {StepForm::kGraph, "graph"}};
  return table;
}

template <>
const Table<Precision>& spellings<Precision>() {
  static const Table<Precision> table = {
      {Precision::kFull, "full"}, {Precision::kTf32, "tf32"}, {Precision::kBf16, "bf16"}};
  return table;
}

const char* to_string(Variant value) { return spelling_of(value); }
const char* to_string(DType value) { return spelling_of(value); }
const char* to_string(HeadInit value) { return spelling_of(value); }
const char* to_string(TopologyInit value) { return spelling_of(value); }
const char* to_string(RouterNorm value) { return spelling_of(value); }
const char* to_string(DropoutUnit value) { return spelling_of(value); }
const char* to_string(ConflictPenalty value) { return spelling_of(value); }
const char* to_string(ConflictGradient value) { return spelling_of(value); }
const char* to_string(BalanceKind value) { return spelling_of(value); }
const char* to_string(DataSource value) { return spelling_of(value); }
const char* to_string(LabelScheme value) { return spelling_of(value); }
const char* to_string(Sampling value) { return spelling_of(value); }
const char* to_string(EngineChoice value) { return spelling_of(value); }
const char* to_string(StepForm value) { return spelling_of(value); }
const char* to_string(Precision value) { return spelling_of(value); }

}  // namespace cdsp
