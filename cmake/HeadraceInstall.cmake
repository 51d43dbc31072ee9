# The install tree: libraries, public headers and the package that find_package(headrace) reads. All that the libraries
# use themselves is linked privately, so a project that uses headrace needs nothing but its files.
include(CMakePackageConfigHelpers)
set(HEADRACE_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/headrace)

# oneDNN's wheel lies in an environment, which no loader searches: its folder stays in the run path. A tree that moves to
# another machine names the place that oneDNN has there.
set(HEADRACE_ONEDNN_RPATH "" CACHE STRING
  "Folders where an installed Headrace looks for oneDNN, beside its own ($ORIGIN is that); empty: where it was found")
set(run_path "$ORIGIN")
if(HEADRACE_ONEDNN_RPATH)
  list(APPEND run_path ${HEADRACE_ONEDNN_RPATH})
elseif(HEADRACE_CPU)
  list(APPEND run_path "$<TARGET_FILE_DIR:DNNL::dnnl>")
endif()
set_target_properties(headrace headrace_runtime PROPERTIES INSTALL_RPATH "${run_path}")
install(TARGETS headrace headrace_runtime EXPORT headraceTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
get_property(plugins GLOBAL PROPERTY HEADRACE_PLUGINS)
if(plugins)
  # The toolkit's folder is seldom one that the loader searches.
  set_target_properties(${plugins} PROPERTIES INSTALL_RPATH "$ORIGIN;${CUDAToolkit_LIBRARY_DIR}")
  install(TARGETS ${plugins} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/headrace DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT headraceTargets NAMESPACE headrace:: DESTINATION ${HEADRACE_PACKAGE_DIR})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/headraceConfig.cmake.in ${PROJECT_BINARY_DIR}/headraceConfig.cmake
  INSTALL_DESTINATION ${HEADRACE_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/headraceConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/headraceConfig.cmake ${PROJECT_BINARY_DIR}/headraceConfigVersion.cmake
  DESTINATION ${HEADRACE_PACKAGE_DIR})
