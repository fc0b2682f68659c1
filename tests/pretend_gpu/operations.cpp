// LibTorch's operations on the pretend GPU. Each one that has a kernel for GPUs is replaced by one
// that allocates its answers on the GPU, as LibTorch's would, and enqueues the host's operation on
// the same memory.
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include "pretend_gpu.h"

namespace at::native {
at::Tensor& copy_(at::Tensor& self, const at::Tensor& src, bool non_blocking);
}

namespace pretend_gpu {
namespace {

using Values = std::vector<c10::IValue>;

bool is_on_gpu(const at::Tensor& tensor) { return tensor.defined() && tensor.is_cuda(); }

/// The tensor's memory as one of the host. Keeps nothing alive: as on a GPU, whoever frees memory
/// that work still needs gets to see it.
at::Tensor on_host(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  if (!is_on_gpu(tensor)) {  // a number of the host freezes
    TORCH_CHECK(tensor.dim() == 0, "a tensor of the host among the GPU's");
    const at::Tensor frozen = tensor.clone();
    frozen.unsafeGetTensorImpl()->set_wrapped_number(
        tensor.unsafeGetTensorImpl()->is_wrapped_number());
    return frozen;
  }
  at::Tensor same = at::from_blob(
      tensor.data_ptr(), tensor.sizes(), tensor.strides(), [](void*) {},
      at::TensorOptions().dtype(tensor.scalar_type()));
  same._set_conj(tensor.is_conj());
  same._set_neg(tensor.is_neg());
  return same;
}

/// A tensor of the host of the same layout, all zeros.
at::Tensor zeros_like_it(const at::Tensor& tensor) {
  if (!is_on_gpu(tensor)) return tensor;
  int64_t extent = 1;
  for (int64_t i = 0; i < tensor.dim(); ++i)
    if (tensor.size(i) > 0) extent += (tensor.size(i) - 1) * tensor.stride(i);
  return at::zeros({extent}, at::TensorOptions().dtype(tensor.scalar_type()))
      .as_strided(tensor.sizes(), tensor.strides(), 0);
}

/// An argument with all its tensors put through `change`, and the host for the GPU.
template <typename Change>
c10::IValue changed(const c10::IValue& value, const Change& change) {
  if (value.isTensor())
    return value.toTensor().defined() ? c10::IValue(change(value.toTensor())) : value;
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(change(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      list.push_back(tensor ? std::optional<at::Tensor>(change(*tensor)) : tensor);
    return list;
  }
  if (value.isDevice() && value.toDevice().is_cuda()) return at::Device(at::kCPU);
  return value;
}

template <typename Change>
Values all_changed(const Values& values, const Change& change) {
  Values result;
  for (const c10::IValue& value : values) result.push_back(changed(value, change));
  return result;
}

/// Operations whose answer's shape, or whose answer for the host, depends on values: a GPU is
/// waited for, which a capture forbids.
bool waits_for_values(const c10::FunctionSchema& schema, const Values& arguments) {
  static const std::set<std::string> names = {"aten::nonzero",
                                              "aten::masked_select",
                                              "aten::equal",
                                              "aten::bincount",
                                              "aten::_unique",
                                              "aten::_unique2",
                                              "aten::unique_dim",
                                              "aten::unique_consecutive",
                                              "aten::repeat_interleave"};
  if (names.count(schema.name()) > 0) return true;
  for (const c10::IValue& value : arguments) {  // a table of indices, of which some are a choice
    if (!value.isOptionalTensorList()) continue;
    for (const std::optional<at::Tensor>& index : value.toOptionalTensorVector())
      if (index && (index->scalar_type() == at::kBool || index->scalar_type() == at::kByte))
        return true;
  }
  return false;
}

/// The argument that answer `index` is, of an operation that writes to its arguments.
std::optional<size_t> written_argument(const c10::FunctionSchema& schema, size_t index) {
  const c10::AliasInfo* answer = schema.returns()[index].alias_info();
  if (answer == nullptr || !answer->isWrite()) return {};
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::AliasInfo* argument = schema.arguments()[i].alias_info();
    if (argument != nullptr && argument->isWrite() &&
        argument->beforeSets() == answer->beforeSets())
      return i;
  }
  return {};
}

void operation(const c10::OperatorHandle& handle, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = handle.schema();
  const auto first = stack->end() - static_cast<std::ptrdiff_t>(schema.arguments().size());
  const Values arguments(first, stack->end());
  stack->erase(first, stack->end());

  void* const stream = c10::cuda::getCurrentCUDAStream().stream();

  // On zeros first, which tells the shapes of the answers: what is on the GPU is not there yet.
  const bool waits = waits_for_values(schema, arguments);
  if (waits) {
    wait_for(stream);
    C10_CUDA_CHECK(cudaGetLastError());
  }
  Values shapes = all_changed(arguments, [waits](const at::Tensor& tensor) {
    return waits && is_on_gpu(tensor) ? on_host(tensor).clone() : zeros_like_it(tensor);
  });
  {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    handle.callBoxed(shapes);
  }
  std::vector<at::Tensor> fresh(schema.returns().size());
  for (size_t i = 0; i < schema.returns().size(); ++i) {
    if (const auto argument = written_argument(schema, i)) {
      const at::Tensor tensor = arguments[*argument].toTensor();
      if (tensor.sizes() != shapes[i].toTensor().sizes())
        tensor.resize_(shapes[i].toTensor().sizes());
      stack->push_back(tensor);
    } else if (shapes[i].isTensor() && shapes[i].toTensor().defined()) {
      const at::Tensor like = shapes[i].toTensor();
      const at::Tensor answer =
          at::empty_strided(like.sizes(), like.strides(), like.options().device(at::kCUDA));
      fresh[i] = on_host(answer);
      stack->push_back(answer);
    } else if (shapes[i].isTensor() || shapes[i].isNone() || waits) {
      stack->push_back(shapes[i]);
    } else {
      end_program(schema.name() + " answers with something other than tensors");
    }
  }

  const Values frozen = all_changed(arguments, on_host);
  enqueue(stream, schema.name(), [handle, frozen, fresh] {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    Values values = frozen;
    handle.callBoxed(values);
    for (size_t i = 0; i < fresh.size(); ++i) {
      if (!fresh[i].defined()) continue;
      if (fresh[i].sizes() != values[i].toTensor().sizes())
        end_program(handle.schema().name() + " has answers whose shape depends on values");
      fresh[i].copy_(values[i].toTensor());
    }
  });
  C10_CUDA_CHECK(cudaGetLastError());
}

/// Copies between host and GPU are LibTorch's own, with the runtime's calls.
at::Tensor& copy(at::Tensor& self, const at::Tensor& from, bool non_blocking) {
  if (!is_on_gpu(self) || !is_on_gpu(from)) return at::native::copy_(self, from, non_blocking);
  static const c10::OperatorHandle handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("aten::copy_", "");
  torch::jit::Stack stack{self, from, non_blocking};
  operation(handle, &stack);
  return self;
}

/// Those that launch nothing: memory, views of it, and reading a number back.
const std::set<std::string>& kept_operations() {
  static const std::set<std::string> names = {"empty",
                                              "empty_strided",
                                              "as_strided",
                                              "view",
                                              "set_",
                                              "resize_",
                                              "unfold",
                                              "_reshape_alias",
                                              "view_as_real",
                                              "view_as_complex",
                                              "record_stream",
                                              "_resize_output_",
                                              "is_pinned",
                                              "_pin_memory",
                                              "is_set_to",
                                              "_local_scalar_dense",
                                              "_efficientzerotensor"};
  return names;
}

class NoWarnings : public c10::WarningHandler {
  void process(const c10::Warning&) override {}  // of each that it is replaced
};

}  // namespace
}  // namespace pretend_gpu

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  pretend_gpu::NoWarnings no_warnings;
  c10::WarningUtils::set_warning_handler(&no_warnings);
  const std::string ours = "aten::";
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto found = c10::Dispatcher::singleton().findSchema(name);
    if (name.name.rfind(ours, 0) != 0 || !found) continue;
    if (!found->hasKernelForDispatchKey(c10::DispatchKey::CUDA)) continue;
    const std::string plain = name.name.substr(ours.size());
    if (plain == "copy_" || pretend_gpu::kept_operations().count(plain) > 0) continue;
    const std::string full = name.overload_name.empty() ? plain : plain + "." + name.overload_name;
    library.impl(full.c_str(),
                 torch::CppFunction::makeFromBoxedFunction<&pretend_gpu::operation>());
  }
  library.impl("copy_", TORCH_FN(pretend_gpu::copy));
  c10::WarningUtils::set_warning_handler(nullptr);
}
