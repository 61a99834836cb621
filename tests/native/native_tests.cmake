# Included by CMakeLists.txt with -DMRCNN_TESTING=ON: the kernels and, emulated on the CPU, the very
# same CUDA sources, in one test program and, if TensorFlow is named, in a library of emulated ops.

set_source_files_properties(${gpu_kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
# A library needs a source of its own.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/no_kernels.cc" "")
add_library(mrcnn_emulated_kernels OBJECT
  ${gpu_kernels} "${CMAKE_CURRENT_BINARY_DIR}/no_kernels.cc")
target_compile_definitions(mrcnn_emulated_kernels PRIVATE MRCNN_EMULATED)
target_compile_options(mrcnn_emulated_kernels PRIVATE -Wall -Wextra -ffp-contract=off)

find_package(Threads REQUIRED)
file(GLOB native_tests CONFIGURE_DEPENDS tests/native/*.cc)
add_executable(native_tests ${native_tests}
  $<TARGET_OBJECTS:mrcnn_kernels> $<TARGET_OBJECTS:mrcnn_emulated_kernels>)
target_include_directories(native_tests PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/custom_ops/kernels")
target_compile_options(native_tests PRIVATE -Wall -Wextra -ffp-contract=off)
target_link_libraries(native_tests PRIVATE Threads::Threads)
if(MRCNN_SANITIZE)
  foreach(target mrcnn_kernels mrcnn_emulated_kernels native_tests)
    target_compile_options(${target} PRIVATE -fsanitize=${MRCNN_SANITIZE} -g -O1
      -fno-omit-frame-pointer -fno-sanitize-recover=all)
  endforeach()
  target_link_options(native_tests PRIVATE -fsanitize=${MRCNN_SANITIZE})
  if(MRCNN_SANITIZE STREQUAL "thread")
    target_compile_definitions(mrcnn_emulated_kernels PRIVATE MRCNN_SANITIZE_THREAD)
  endif()
endif()

if(MRCNN_TENSORFLOW_DIR)
  add_op_library(mrcnn_emulated_ops ${ops} $<TARGET_OBJECTS:mrcnn_emulated_kernels>)
  target_compile_definitions(mrcnn_emulated_ops PRIVATE MRCNN_EMULATED)
endif()
