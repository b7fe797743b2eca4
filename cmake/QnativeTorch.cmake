# qnative_torch: headers and libraries of torch; QNATIVE_TORCH_LIB: the folder of the libraries.
# find_package(Torch) fails on CUDA wheels where no CUDA toolkit is installed, so the paths inside
# the torch package are used directly when they are known.
add_library(qnative_torch INTERFACE)
if(QNATIVE_TORCH_DIR)
  set(QNATIVE_TORCH_LIB "${QNATIVE_TORCH_DIR}/lib")
  if(NOT EXISTS "${QNATIVE_TORCH_LIB}/libtorch_cpu.so")
    message(FATAL_ERROR "QNATIVE_TORCH_DIR=${QNATIVE_TORCH_DIR} has no lib/libtorch_cpu.so")
  endif()
  target_include_directories(qnative_torch SYSTEM INTERFACE
    $<BUILD_INTERFACE:${QNATIVE_TORCH_DIR}/include>
    $<BUILD_INTERFACE:${QNATIVE_TORCH_DIR}/include/torch/csrc/api/include>)
  foreach(library torch torch_cpu c10)
    target_link_libraries(qnative_torch INTERFACE
      $<BUILD_INTERFACE:${QNATIVE_TORCH_LIB}/lib${library}.so>)
  endforeach()
  # libtorch_cpu.so of a CUDA wheel names libraries that only the torch package's loader finds.
  target_link_options(qnative_torch INTERFACE $<BUILD_INTERFACE:-Wl,--allow-shlib-undefined>)
else()
  find_package(Torch REQUIRED)
  set(QNATIVE_TORCH_LIB "${TORCH_INSTALL_PREFIX}/lib")
  target_link_libraries(qnative_torch INTERFACE $<BUILD_INTERFACE:${TORCH_LIBRARIES}>)
endif()
