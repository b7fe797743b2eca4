# qnative_torch: headers and libraries of torch; QNATIVE_TORCH_LIB: the folder of the libraries.
# find_package(Torch) fails on CUDA wheels where no CUDA toolkit is installed, so the paths inside
# the torch package are used directly when they are known.
set(qnative_torch_remedy "Set QNATIVE_TORCH_DIR to the folder of the torch package, which \
`python -c \"import torch; print(torch.__path__[0])\"` prints, or to an unpacked LibTorch.")
add_library(qnative_torch INTERFACE)
if(QNATIVE_TORCH_DIR)
  set(QNATIVE_TORCH_LIB "${QNATIVE_TORCH_DIR}/lib")
  if(NOT EXISTS "${QNATIVE_TORCH_LIB}/libtorch_cpu.so")
    message(FATAL_ERROR "qnative: QNATIVE_TORCH_DIR=${QNATIVE_TORCH_DIR} has no lib/libtorch_cpu.so. ${qnative_torch_remedy}")
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
  find_package(Torch QUIET)
  if(NOT Torch_FOUND)
    message(FATAL_ERROR "qnative: torch not found. ${qnative_torch_remedy}")
  endif()
  set(QNATIVE_TORCH_LIB "${TORCH_INSTALL_PREFIX}/lib")
  target_link_libraries(qnative_torch INTERFACE $<BUILD_INTERFACE:${TORCH_LIBRARIES}>)
endif()
