# qnative_add_layer(<layer> <header>...)
# An object library of csrc/<layer>/*.cpp and csrc/<layer>/*/*.cpp, on top of torch. <header>: what most of its files include.
#
# A file of a hundred lines takes a second to compile and two to read torch's headers. With QNATIVE_UNITY the files of a folder are one
# translation unit, so names in unnamed namespaces are unique in their folder. A precompiled header takes as long as reading it
# in four files.
function(qnative_add_layer layer)
  set(target qnative_${layer})
  file(GLOB sources CONFIGURE_DEPENDS csrc/${layer}/*.cpp csrc/${layer}/*/*.cpp)
  add_library(${target} OBJECT ${sources})
  target_include_directories(${target} PUBLIC include PRIVATE csrc/${layer})
  target_link_libraries(${target} PUBLIC qnative_torch)
  set(units ${sources})
  if(QNATIVE_UNITY)
    set(units "")
    foreach(source ${sources})
      cmake_path(GET source PARENT_PATH folder)
      cmake_path(GET folder FILENAME unit)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${unit})
      list(APPEND units ${unit})
    endforeach()
    list(REMOVE_DUPLICATES units)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  endif()
  list(LENGTH units count)
  if(count GREATER 4)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()
