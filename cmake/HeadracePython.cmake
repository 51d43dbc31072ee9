# The Python package: the extension _core, its stub and the Python files, importable from build/<preset>/python and
# installed by the component "python" (see pyproject.toml).
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir
  OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE nanobind_ROOT COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)

set(package ${PROJECT_BINARY_DIR}/python/headrace)
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/python/*.cpp)
nanobind_add_module(headrace_python NOMINSIZE ${sources})
target_link_libraries(headrace_python PRIVATE headrace headrace_options)
set_target_properties(headrace_python PROPERTIES OUTPUT_NAME _core LIBRARY_OUTPUT_DIRECTORY ${package})

# Links, so that an edit shows at once.
file(GLOB_RECURSE modules CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/python/headrace
  ${PROJECT_SOURCE_DIR}/python/headrace/*.py ${PROJECT_SOURCE_DIR}/python/headrace/py.typed)
foreach(module ${modules})
  get_filename_component(folder ${package}/${module} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/python/headrace/${module} ${package}/${module} SYMBOLIC)
endforeach()

# A sanitizer's run-time library must come first in a process, and the interpreter has none.
if(NOT HEADRACE_SANITIZE)
  nanobind_add_stub(headrace_python_stub MODULE _core OUTPUT ${package}/_core.pyi
    PYTHON_PATH ${package} DEPENDS headrace_python)
endif()

if(SKBUILD)
  # The libraries lie beside the extension, and oneDNN's where its own wheel puts it: in the environment's lib. OpenMP's is
  # the one that PyTorch has loaded before; the command, which loads no PyTorch, takes the same file.
  set(python_run_path "$ORIGIN;$ORIGIN/../../..;$ORIGIN/../torch/lib")
  set_target_properties(headrace_python headrace headrace_runtime PROPERTIES
    INSTALL_RPATH "${python_run_path}" INSTALL_RPATH_USE_LINK_PATH OFF)
  # A wheel holds no links, so each library has the one name that it is loaded by.
  set_target_properties(headrace headrace_runtime PROPERTIES VERSION ${PROJECT_VERSION_MAJOR})
  install(TARGETS headrace_python headrace headrace_runtime
    LIBRARY DESTINATION headrace COMPONENT python NAMELINK_SKIP)
  # The command: beside it in an environment, in Debian's own Python, and in a folder filled by `pip install --target`.
  set(packages "$ORIGIN/../lib/python${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}")
  set_target_properties(headrace_cli PROPERTIES INSTALL_RPATH_USE_LINK_PATH OFF
    INSTALL_RPATH "${packages}/site-packages/headrace;${packages}/dist-packages/headrace;$ORIGIN/../headrace")
  install(TARGETS headrace_cli RUNTIME DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT python)
  # The plug-ins too, which nothing links; PyTorch's own CUDA libraries lie in the environment as well.
  get_property(plugins GLOBAL PROPERTY HEADRACE_PLUGINS)
  if(plugins)
    add_dependencies(headrace_python ${plugins})
    set_target_properties(${plugins} PROPERTIES INSTALL_RPATH_USE_LINK_PATH OFF
      INSTALL_RPATH "$ORIGIN;$ORIGIN/../nvidia/cu13/lib;$ORIGIN/../nvidia/cudnn/lib;${CUDAToolkit_LIBRARY_DIR}")
    install(TARGETS ${plugins} LIBRARY DESTINATION headrace COMPONENT python)
  endif()
  install(FILES ${package}/_core.pyi DESTINATION headrace COMPONENT python)
endif()
