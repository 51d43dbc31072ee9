# How Headrace's own code is compiled, and the function that declares a folder of src/.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endif()
find_program(HEADRACE_CCACHE ccache)
if(HEADRACE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HEADRACE_CCACHE})
endif()

add_library(headrace_options INTERFACE)
target_compile_options(headrace_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)
target_include_directories(headrace_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
if(HEADRACE_SANITIZE)
  target_compile_options(headrace_options INTERFACE -fsanitize=${HEADRACE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(headrace_options INTERFACE -fsanitize=${HEADRACE_SANITIZE})
endif()

# headrace_folder(core [DEPENDS targets…] [TESTED_WITH folders…]): src/core's sources become the object library headrace_core.
# Its *_test.cpp become the program headrace_core_test (see headrace_folder_tests); TESTED_WITH are its FOLDERS (see
# headrace_test), where it is not tested with the library it is in. Sources are globbed, so no file is silently left out.
function(headrace_folder folder)
  cmake_parse_arguments(arg "" "" "DEPENDS;TESTED_WITH" ${ARGN})
  string(REPLACE "/" "_" name ${folder})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(sources)
    add_library(headrace_${name}_objects OBJECT ${sources})
    target_link_libraries(headrace_${name}_objects PUBLIC headrace_options fmt::fmt ${arg_DEPENDS})
  endif()
  if(HEADRACE_TESTS AND tests)
    set_property(GLOBAL APPEND PROPERTY HEADRACE_FOLDER_TESTS ${name})
    set_property(GLOBAL PROPERTY HEADRACE_TESTS_${name} ${tests})
    set_property(GLOBAL PROPERTY HEADRACE_TESTED_WITH_${name} ${arg_TESTED_WITH})
  endif()
endfunction()

# headrace_flatbuffer(target schema): <schema>_generated.h for `target`'s own sources, made in the build tree.
function(headrace_flatbuffer target schema)
  get_filename_component(name ${schema} NAME_WE)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/generated)
  set(header ${folder}/${name}_generated.h)
  add_custom_command(OUTPUT ${header}
    COMMAND flatbuffers::flatc --cpp --cpp-std c++17 -o ${folder} ${CMAKE_CURRENT_SOURCE_DIR}/${schema}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${schema} VERBATIM)
  target_sources(${target} PRIVATE ${header})
  target_include_directories(${target} SYSTEM PRIVATE ${folder})
endfunction()

# headrace_library(name FOLDERS folders… [LIBRARIES …] [PLUGIN]): one shared library of those folders.
# Shared, so that plug-ins and programs never get a second copy of a table or a counter.
# PLUGIN: opened by its plain name while we run; its build id (core/build_id.h) says whether it belongs to those who open it.
function(headrace_library library)
  cmake_parse_arguments(arg "PLUGIN" "" "FOLDERS;LIBRARIES" ${ARGN})
  add_library(${library} SHARED)
  add_library(headrace::${library} ALIAS ${library})
  if(arg_PLUGIN)
    set_property(GLOBAL APPEND PROPERTY HEADRACE_PLUGINS ${library})
  else()
    set_target_properties(${library} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  endif()
  target_include_directories(${library} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${library} PUBLIC cxx_std_20)
  target_link_libraries(${library} PUBLIC ${arg_LIBRARIES})
  foreach(folder ${arg_FOLDERS})
    string(REPLACE "/" "_" name ${folder})
    if(TARGET headrace_${name}_objects)
      target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:headrace_${name}_objects>)
    endif()
    set_property(GLOBAL PROPERTY HEADRACE_LIBRARY_OF_${name} ${library})
  endforeach()
endfunction()

# headrace_build_id(targets…): tells these what build they are of. A plug-in and the libraries fit together when both were
# made of the same declarations by the same compiler, so that is what the id is made of.
file(GLOB_RECURSE headers ${PROJECT_SOURCE_DIR}/src/*.h ${PROJECT_SOURCE_DIR}/include/*.h)
set(HEADRACE_BUILD_ID "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} ${HEADRACE_SANITIZE}")
foreach(header ${headers})
  file(SHA256 ${header} hash)
  string(SHA256 HEADRACE_BUILD_ID "${HEADRACE_BUILD_ID} ${hash}")
endforeach()
string(SUBSTRING "${HEADRACE_BUILD_ID}" 0 16 HEADRACE_BUILD_ID)
function(headrace_build_id)
  foreach(target ${ARGN})
    if(TARGET ${target})
      target_compile_definitions(${target} PRIVATE HEADRACE_BUILD_ID="${PROJECT_VERSION}-${HEADRACE_BUILD_ID}")
    endif()
  endforeach()
endfunction()

# headrace_program(target name folder): the program `name`, of the folder's sources and its main/main.cpp. The folder's
# tests get the sources too, which are in no library.
function(headrace_program target name folder)
  add_executable(${target} ${folder}/main/main.cpp)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  target_link_libraries(${target} PRIVATE headrace headrace_${folder}_objects CLI11::CLI11)
  if(TARGET headrace_${folder}_test)
    target_link_libraries(headrace_${folder}_test PRIVATE headrace_${folder}_objects)
  endif()
  install(TARGETS ${target} RUNTIME)
endfunction()

# headrace_test(name sources… [LIBRARY …] [FOLDERS …] [LIBRARIES …]): one GoogleTest program, run by ctest. It links LIBRARY
# (headrace), or with FOLDERS headrace_runtime and these folders of libheadrace: less to build where only it is wanted.
function(headrace_test name)
  cmake_parse_arguments(arg "" "LIBRARY" "FOLDERS;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  if(arg_FOLDERS)
    set(arg_LIBRARY headrace_runtime)
  elseif(NOT arg_LIBRARY)
    set(arg_LIBRARY headrace)
  endif()
  foreach(folder ${arg_FOLDERS})
    string(REPLACE "/" "_" folder ${folder})
    target_link_libraries(${name} PRIVATE headrace_${folder}_objects)
  endforeach()
  target_link_libraries(${name} PRIVATE
    ${arg_LIBRARY} headrace_options fmt::fmt ${arg_LIBRARIES} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE HEADRACE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# The test programs of the folders declared so far.
function(headrace_folder_tests)
  get_property(names GLOBAL PROPERTY HEADRACE_FOLDER_TESTS)
  foreach(name ${names})
    get_property(sources GLOBAL PROPERTY HEADRACE_TESTS_${name})
    get_property(library GLOBAL PROPERTY HEADRACE_LIBRARY_OF_${name})
    get_property(folders GLOBAL PROPERTY HEADRACE_TESTED_WITH_${name})
    headrace_test(headrace_${name}_test ${sources} LIBRARY ${library} FOLDERS ${folders})
  endforeach()
endfunction()
