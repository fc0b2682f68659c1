# Finds LibTorch and makes the target cdsp::torch.
#
# find_package(Torch) is not used: the TorchConfig.cmake of a CUDA build stops where no CUDA toolkit is
# installed, although a program that compiles no CUDA code of its own does not need one, and it puts all the
# headers that the package carries along (an own copy of fmt among them) before the system's.
#
# Looked at, the first that is given counts:
#   CDSP_TORCH         a libtorch folder or the `torch` folder of a Python environment (option)
#   Torch_DIR          as find_package takes it (variable, then environment)
#   CMAKE_PREFIX_PATH  as torch.utils.cmake_prefix_path prints it (variable, then environment)
#   .torch/location    what scripts/setup decided
#   the system         /usr/local, /usr
#
# Sets LibTorch_ROOT, LibTorch_LIBRARY_DIR, LibTorch_VERSION (2.11.0), LibTorch_FULL_VERSION (2.11.0+cu130),
# LibTorch_CXX_STANDARD (17 or what its headers ask for), LibTorch_CUDA (TRUE if the CUDA libraries can be loaded) and
# LibTorch_CUDA_VERSION (if known).

set(CDSP_TORCH "" CACHE PATH "LibTorch: a libtorch folder, or the torch folder of a Python environment")

set(_torch_header include/torch/csrc/api/include/torch/all.h)

# The closest folder at or above `start` that holds LibTorch's headers.
function(_cdsp_torch_root start result)
  set(dir "${start}")
  foreach(_ RANGE 5)
    if(EXISTS "${dir}/${_torch_header}")
      set(${result} "${dir}" PARENT_SCOPE)
      return()
    endif()
    get_filename_component(dir "${dir}" DIRECTORY)
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()

set(LibTorch_ROOT "")
set(_from "")
if(CDSP_TORCH)
  get_filename_component(_start "${CDSP_TORCH}" ABSOLUTE)
  foreach(_sub "" /torch /libtorch)
    if(NOT LibTorch_ROOT)
      _cdsp_torch_root("${_start}${_sub}" LibTorch_ROOT)
    endif()
  endforeach()
  set(_from "CDSP_TORCH")
  if(NOT LibTorch_ROOT)
    message(FATAL_ERROR "CDSP_TORCH=${CDSP_TORCH} holds no LibTorch (no ${_torch_header} there).")
  endif()
else()
  file(TO_CMAKE_PATH "$ENV{CMAKE_PREFIX_PATH}" _env_prefixes)
  set(_recorded "")
  set(_record "${CMAKE_CURRENT_LIST_DIR}/../../.torch/location")
  if(EXISTS "${_record}")
    file(STRINGS "${_record}" _recorded LIMIT_COUNT 1)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_record}")
  endif()
  foreach(_candidate IN ITEMS "Torch_DIR=${Torch_DIR}" "Torch_DIR=$ENV{Torch_DIR}"
                              "CMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH}" "CMAKE_PREFIX_PATH=${_env_prefixes}"
                              "scripts/setup=${_recorded}" "system=/usr/local;/usr")
    string(REGEX MATCH "^[^=]+" _name "${_candidate}")
    string(REGEX REPLACE "^[^=]+=" "" _places "${_candidate}")
    foreach(_place IN LISTS _places)
      if(NOT LibTorch_ROOT AND _place)
        _cdsp_torch_root("${_place}" LibTorch_ROOT)
        set(_from "${_name}")
      endif()
    endforeach()
  endforeach()
  if(NOT LibTorch_ROOT)
    message(FATAL_ERROR
      "No LibTorch found. Run scripts/setup, or name one:\n"
      "  cmake --preset release -DCDSP_TORCH=/path/to/libtorch\n"
      "  cmake --preset release -DCMAKE_PREFIX_PATH=$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')")
  endif()
endif()

# Version: the header has the number, a package's version.py or build-version the full name (2.11.0+cu130).
set(LibTorch_VERSION "")
foreach(_file torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(EXISTS "${LibTorch_ROOT}/include/${_file}" AND NOT LibTorch_VERSION)
    file(READ "${LibTorch_ROOT}/include/${_file}" _text)
    if(_text MATCHES "TORCH_VERSION_MAJOR ([0-9]+)")
      set(LibTorch_VERSION "${CMAKE_MATCH_1}")
      string(REGEX MATCH "TORCH_VERSION_MINOR ([0-9]+)" _ "${_text}")
      string(APPEND LibTorch_VERSION ".${CMAKE_MATCH_1}")
      string(REGEX MATCH "TORCH_VERSION_PATCH ([0-9]+)" _ "${_text}")
      string(APPEND LibTorch_VERSION ".${CMAKE_MATCH_1}")
    endif()
  endif()
endforeach()
if(NOT LibTorch_VERSION)
  message(FATAL_ERROR "LibTorch in ${LibTorch_ROOT}: cannot read its version.")
endif()
if(LibTorch_VERSION VERSION_LESS 1.13)
  message(FATAL_ERROR "LibTorch ${LibTorch_VERSION} in ${LibTorch_ROOT} is too old: 1.13 or later is needed.")
endif()
set(LibTorch_FULL_VERSION "${LibTorch_VERSION}")
set(LibTorch_CUDA_VERSION "")
foreach(_file build-version version.py)
  if(EXISTS "${LibTorch_ROOT}/${_file}")
    file(READ "${LibTorch_ROOT}/${_file}" _text)
    if(_text MATCHES "(${LibTorch_VERSION}[+.a-z0-9]*)")
      set(LibTorch_FULL_VERSION "${CMAKE_MATCH_1}")
    endif()
    if(_text MATCHES "cuda[^=\n]*= *'([0-9.]+)'")
      set(LibTorch_CUDA_VERSION "${CMAKE_MATCH_1}")
    endif()
  endif()
endforeach()

# The C++ that its headers ask for: 17 in all versions this program was written for, 20 in late 2.x.
set(LibTorch_CXX_STANDARD 17)
file(STRINGS "${LibTorch_ROOT}/include/ATen/ATen.h" _asked REGEX "C[+][+][0-9][0-9] or later" LIMIT_COUNT 1)
if(_asked MATCHES "C[+][+]([0-9][0-9])" AND CMAKE_MATCH_1 GREATER 17 AND CMAKE_MATCH_1 LESS 90)
  set(LibTorch_CXX_STANDARD ${CMAKE_MATCH_1})
endif()

# Libraries, from that very folder and nowhere else: a mix of two LibTorches links and then crashes.
function(_cdsp_torch_library name)
  find_library(CDSP_LIB_${name} ${name} NO_CACHE NO_DEFAULT_PATH PATHS "${LibTorch_ROOT}"
               PATH_SUFFIXES lib "lib/${CMAKE_LIBRARY_ARCHITECTURE}" lib64)
  set(CDSP_LIB_${name} "${CDSP_LIB_${name}}" PARENT_SCOPE)
endfunction()
foreach(_lib torch torch_cpu c10 torch_cuda c10_cuda)
  _cdsp_torch_library(${_lib})
endforeach()
foreach(_lib torch torch_cpu c10)
  if(NOT CDSP_LIB_${_lib})
    message(FATAL_ERROR "LibTorch in ${LibTorch_ROOT}: lib${_lib}.so is missing.")
  endif()
endforeach()
get_filename_component(LibTorch_LIBRARY_DIR "${CDSP_LIB_torch_cpu}" DIRECTORY)
set(LibTorch_CUDA FALSE)
if(CDSP_LIB_torch_cuda AND CDSP_LIB_c10_cuda)
  # A wheel's CUDA libraries are packages of their own, which scripts/setup leaves out where there is no GPU.
  execute_process(COMMAND ldd "${CDSP_LIB_torch_cuda}" OUTPUT_VARIABLE _loads ERROR_QUIET)
  if(_loads MATCHES "(lib[^ \n]*) => not found")
    message(STATUS "LibTorch in ${LibTorch_ROOT}: CUDA is left out, since ${CMAKE_MATCH_1} is not there")
  else()
    set(LibTorch_CUDA TRUE)
  endif()
endif()

# The old std::string ABI: it would give a page of link errors, each as puzzling as the next.
file(STRINGS "${CDSP_LIB_c10}" _abi REGEX "torchCheckFailEPKcS[0-9]_jRKSs" LIMIT_COUNT 1)
if(_abi)
  message(FATAL_ERROR
    "LibTorch ${LibTorch_FULL_VERSION} in ${LibTorch_ROOT} was built with the old C++ string ABI "
    "(_GLIBCXX_USE_CXX11_ABI=0) and cannot be linked with this system's C++ libraries. "
    "Use a cxx11-ABI LibTorch: a PyPI wheel of torch 2.7 or later, or a libtorch-cxx11-abi archive.")
endif()

# Headers: a view of the include folder without the foreign libraries in it. Those of a wheel are newer than,
# and not compatible with, the system libraries of the same name that spdlog and others were built with.
set(_foreign fmt spdlog nlohmann yaml-cpp catch2 CLI curl)
set(LibTorch_INCLUDE_DIR "${LibTorch_ROOT}/include")
set(_carries_foreign FALSE)
foreach(_name IN LISTS _foreign)
  if(EXISTS "${LibTorch_ROOT}/include/${_name}")
    set(_carries_foreign TRUE)
  endif()
endforeach()
if(_carries_foreign AND NOT LibTorch_ROOT MATCHES "^/usr(/local)?$")
  set(LibTorch_INCLUDE_DIR "${PROJECT_BINARY_DIR}/torch_include")
  file(REMOVE_RECURSE "${LibTorch_INCLUDE_DIR}")
  file(MAKE_DIRECTORY "${LibTorch_INCLUDE_DIR}")
  file(GLOB _entries RELATIVE "${LibTorch_ROOT}/include" "${LibTorch_ROOT}/include/*")
  list(REMOVE_ITEM _entries ${_foreign})
  foreach(_entry IN LISTS _entries)
    file(CREATE_LINK "${LibTorch_ROOT}/include/${_entry}" "${LibTorch_INCLUDE_DIR}/${_entry}" SYMBOLIC)
  endforeach()
endif()

# OpenMP: without it at::parallel_for, which is a template in the headers, runs on one thread. Archives that
# bring their own libgomp must be used with that one: two OpenMP runtimes do not know each other's threads.
find_package(OpenMP QUIET COMPONENTS CXX)
find_package(Threads REQUIRED)

add_library(cdsp_torch INTERFACE)
add_library(cdsp::torch ALIAS cdsp_torch)
target_include_directories(cdsp_torch SYSTEM INTERFACE
  "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
# Before LibTorch in the search order: libtorch.so of some wheels (2.11) exports a copy of std::filesystem that
# calls functions it does not have, and whoever comes first serves the whole program.
target_link_options(cdsp_torch INTERFACE "LINKER:--push-state,--no-as-needed" -lstdc++ "LINKER:--pop-state")
if(LibTorch_CUDA OR NOT CDSP_LIB_torch_cuda) # libtorch.so is only the list of the others
  target_link_libraries(cdsp_torch INTERFACE "${CDSP_LIB_torch}")
endif()
target_link_libraries(cdsp_torch INTERFACE "${CDSP_LIB_torch_cpu}" "${CDSP_LIB_c10}" Threads::Threads)
target_compile_definitions(cdsp_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
# CMake itself leaves out folders inside the checkout, where scripts/setup puts the wheel.
if(NOT LibTorch_ROOT MATCHES "^/usr(/local)?$")
  list(APPEND CMAKE_INSTALL_RPATH "${LibTorch_LIBRARY_DIR}")
endif()
# The libraries find their own dependencies (CUDA's, in a wheel) at run time; the linker need not.
target_link_options(cdsp_torch INTERFACE "LINKER:--allow-shlib-undefined")
if(LibTorch_CUDA)
  target_link_libraries(cdsp_torch INTERFACE "${CDSP_LIB_torch_cuda}" "${CDSP_LIB_c10_cuda}")
  # CUDA registers itself when its library is loaded; no symbol of it is used, so it must be kept by force.
  target_link_options(cdsp_torch INTERFACE
    "LINKER:--push-state,--no-as-needed,${CDSP_LIB_torch_cuda},${CDSP_LIB_torch},--pop-state")
endif()
if(OpenMP_CXX_FOUND)
  file(GLOB _gomp "${LibTorch_LIBRARY_DIR}/libgomp*.so*")
  if(_gomp AND NOT LibTorch_ROOT MATCHES "^/usr(/local)?$")
    list(GET _gomp 0 _gomp)
    separate_arguments(_openmp_flags UNIX_COMMAND "${OpenMP_CXX_FLAGS}")
    target_compile_options(cdsp_torch INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${_openmp_flags}>")
    target_link_libraries(cdsp_torch INTERFACE "${_gomp}")
  else()
    target_link_libraries(cdsp_torch INTERFACE OpenMP::OpenMP_CXX)
  endif()
else()
  message(WARNING "No OpenMP: the project's own CPU kernels will run on one thread.")
endif()

# The distribution's LibTorch takes whatever BLAS the system has chosen. The OpenMP variant of OpenBLAS shares its
# threads with LibTorch (with the other one two pools compete for the processors, and two threads are no faster
# than one), so the program itself links it, whichever is the system's choice: the first one loaded serves all.
set(_blas "")
if(LibTorch_ROOT MATCHES "^/usr$")
  set(_system_lib "/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
  set(_openblas "${_system_lib}/openblas-openmp")
  if(EXISTS "${_openblas}/libopenblas.so.0" AND EXISTS "${_openblas}/libblas.so.3" AND EXISTS "${_openblas}/liblapack.so.3")
    set(_blas ", OpenBLAS (OpenMP)")
    target_link_options(cdsp_torch INTERFACE
      "LINKER:--push-state,--no-as-needed,${_openblas}/libopenblas.so.0,${_openblas}/libblas.so.3,${_openblas}/liblapack.so.3,--pop-state")
    list(APPEND CMAKE_INSTALL_RPATH "${_openblas}")
  else()
    get_filename_component(_chosen "${_system_lib}/libblas.so.3" REALPATH)
    if(NOT _chosen MATCHES "openblas|mkl|blis")
      message(WARNING "LibTorch will use ${_chosen}, which is slow: install OpenBLAS (Debian: libopenblas0-openmp).")
    endif()
  endif()
endif()

set(_cuda_note "CPU only")
if(LibTorch_CUDA)
  set(_cuda_note "with CUDA")
endif()
message(STATUS "LibTorch ${LibTorch_FULL_VERSION}, ${_cuda_note}${_blas}: ${LibTorch_ROOT} (from ${_from})")
