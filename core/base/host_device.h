// Marks functions that nvcc compiles for the GPU too; nothing to any other compiler.
#pragma once

#ifdef __CUDACC__
#define CDSP_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define CDSP_HOST_DEVICE inline
#endif

// Only in nvcc's pass for the GPU: the host compiler does not know this pragma.
#ifdef __CUDA_ARCH__
#define CDSP_UNROLL _Pragma("unroll")
#define CDSP_UNROLL_BY_4 _Pragma("unroll 4")
#else
#define CDSP_UNROLL
#define CDSP_UNROLL_BY_4
#endif
