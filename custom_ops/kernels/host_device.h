// Marks functions that CUDA kernels call as well as the CPU's.
#ifndef MRCNN_KERNELS_HOST_DEVICE_H_
#define MRCNN_KERNELS_HOST_DEVICE_H_

#ifdef __CUDACC__
#define MRCNN_HOST_DEVICE __host__ __device__
#else
#define MRCNN_HOST_DEVICE
#endif

#endif  // MRCNN_KERNELS_HOST_DEVICE_H_
