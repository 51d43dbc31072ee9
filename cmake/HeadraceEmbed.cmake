# headrace_embed_text(target header constant files…): `header` for `target`'s own sources, with the files' text, one after
# another, as the string_view headrace::cuda::<constant>.
function(headrace_embed_text target header constant)
  set(text "")
  foreach(file ${ARGN})
    file(READ ${file} part)
    # Compilers take raw strings of 64 KiB only; parts are joined by the compiler.
    string(APPEND text "\nR\"headrace(${part})headrace\"")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  endforeach()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/generated/${target})
  file(CONFIGURE OUTPUT ${folder}/${header} @ONLY CONTENT
    "#pragma once\n#include <string_view>\nnamespace headrace::cuda {\ninline constexpr std::string_view ${constant} =@text@;\n}\n")
  target_include_directories(${target} PRIVATE ${folder})
endfunction()
