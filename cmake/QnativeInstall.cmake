# `cmake --install`: the library, the public headers and the CMake package, into any prefix; the Python package is such a
# prefix too (qnative/lib, qnative/include, qnative/share/cmake/qnative).
include(CMakePackageConfigHelpers)
install(TARGETS qnative EXPORT qnativeTargets LIBRARY DESTINATION lib)
install(DIRECTORY include/qnative DESTINATION include)
install(EXPORT qnativeTargets NAMESPACE qnative:: DESTINATION share/cmake/qnative)
configure_package_config_file(cmake/qnativeConfig.cmake.in ${PROJECT_BINARY_DIR}/qnativeConfig.cmake
  INSTALL_DESTINATION share/cmake/qnative)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qnativeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qnativeConfig.cmake ${PROJECT_BINARY_DIR}/qnativeConfigVersion.cmake
  DESTINATION share/cmake/qnative)
