# QNATIVE_ISAS: the instruction sets of csrc/kernels/isa.h, in ascending order; isas.txt: the same for make.
set(isa_header ${PROJECT_SOURCE_DIR}/csrc/kernels/isa.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${isa_header})
file(READ ${isa_header} isa_text)
string(REGEX MATCHALL "isa\\(k[A-Za-z0-9]+, [a-z0-9_]+\\)" QNATIVE_ISAS "${isa_text}")
list(TRANSFORM QNATIVE_ISAS REPLACE "isa\\(.+, (.+)\\)" "\\1")
list(JOIN QNATIVE_ISAS " " isa_names)
file(WRITE ${PROJECT_BINARY_DIR}/isas.txt "${isa_names}\n")

# Compiler flags of the files of each.
set(QNATIVE_ISA_FLAGS_scalar "")
set(QNATIVE_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(QNATIVE_ISA_FLAGS_avx_vnni ${QNATIVE_ISA_FLAGS_avx2} -mavxvnni)
set(QNATIVE_ISA_FLAGS_avx512_vnni
  -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512cd -mavx512vnni -mavx512vbmi
  -mprefer-vector-width=512)
set(QNATIVE_ISA_FLAGS_amx_int8 ${QNATIVE_ISA_FLAGS_avx512_vnni} -mamx-tile -mamx-int8)

foreach(isa ${QNATIVE_ISAS})
  if(NOT DEFINED QNATIVE_ISA_FLAGS_${isa})
    message(FATAL_ERROR "cmake/QnativeKernels.cmake has no compiler flags for ${isa}")
  endif()
endforeach()

# qnative_add_kernels(<target> [EMULATE_AVX512])
# The torch-free kernel library: csrc/kernels/*.cpp and csrc/kernels/<family>/*.cpp. The file name is the ISA, and only
# files of that name get its flags. EMULATE_AVX512 builds the files of AVX-VNNI, AVX-512 and AMX for an AVX2 machine, with SIMDe
# standing in for the intrinsics, so that every machine can test them.
function(qnative_add_kernels target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "EMULATE_AVX512" "" "")
  file(GLOB sources CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/csrc/kernels/*.cpp ${PROJECT_SOURCE_DIR}/csrc/kernels/*/*.cpp)
  # -ffp-contract=off: gcc would fuse mul and add on its own, and ISAs would then differ in the last bit.
  set(common_flags -ffp-contract=off -fno-math-errno -fno-exceptions -fno-rtti)
  set(isa_objects)
  set(vector_isas ${QNATIVE_ISAS})
  list(REMOVE_ITEM vector_isas scalar)
  foreach(isa ${vector_isas})
    set(isa_sources ${sources})
    list(FILTER isa_sources INCLUDE REGEX "/${isa}\\.cpp$")
    list(FILTER sources EXCLUDE REGEX "/${isa}\\.cpp$")
    if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" OR NOT isa_sources)
      continue()
    endif()
    set(flags ${QNATIVE_ISA_FLAGS_${isa}})
    if(arg_EMULATE_AVX512)
      # SIMDe passes 64-byte vectors without AVX-512; both warnings are about nothing else. It adds
      # lanes as signed integers, and they wrap.
      set(flags ${QNATIVE_ISA_FLAGS_avx2} -Wno-psabi -Wno-ignored-attributes -fwrapv)
    endif()
    add_library(${target}_${isa} OBJECT ${isa_sources})
    target_compile_options(${target}_${isa} PRIVATE ${common_flags} ${flags})
    list(APPEND isa_objects ${target}_${isa})
  endforeach()
  add_library(${target} STATIC ${sources})
  target_compile_options(${target} PRIVATE ${common_flags})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/csrc/kernels)
  foreach(objects ${isa_objects})
    target_include_directories(${objects} PRIVATE ${PROJECT_SOURCE_DIR}/csrc/kernels)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
  endforeach()
  if(arg_EMULATE_AVX512)
    foreach(objects ${target} ${isa_objects})
      target_compile_definitions(${objects} PRIVATE QNATIVE_EMULATE_AVX512)
    endforeach()
    # One intrinsic is dozens of instructions here: minutes of compilation at -O3, and with sanitizers more than ten.
    # The guard pages and bands of the tests still see what these files read and write.
    foreach(isa avx512_vnni amx_int8)
      if(TARGET ${target}_${isa})
        target_compile_options(${target}_${isa} PRIVATE -O1 -fno-sanitize=all)
      endif()
    endforeach()
  endif()
endfunction()
