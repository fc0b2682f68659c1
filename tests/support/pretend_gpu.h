// The pretend GPU (tests/pretend_gpu), where the program was started with it.
#pragma once

#include <cstddef>
#include <optional>

namespace cdsp::test {

/// Has the project's kernels run by the pretend GPU, if it was loaded; ends the program if it was
/// not although CDSP_PRETEND_GPU is set, since all tests would be skipped. For main().
void connect_pretend_gpu();

/// Whether LibTorch fills all memory it hands out with NaN, with operations of their own; so it
/// does on a pretend GPU, unless this says otherwise.
void fill_fresh_memory(bool is_wanted);

/// Whether the GPU is pretended: right in what it does, but slow, and of one precision.
bool is_pretend_gpu();

/// How many pieces of work, kernels and copies, the graph has that was captured last.
size_t pretend_gpu_nodes_of_last_graph();

}  // namespace cdsp::test
