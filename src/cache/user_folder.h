// Where Headrace keeps what it may make again: folders of this user's alone.
#pragma once

#include <filesystem>

#include <headrace/status.h>

namespace headrace::cache {

// $HEADRACE_CACHE_DIR; else $XDG_CACHE_HOME/headrace; else ~/.cache/headrace. It need not exist.
// Errors: kNotFound: none of them is known.
Result<std::filesystem::path> user_cache_folder();

// Makes the folder, with those above it, where it is not there; for this user alone (0700).
// Errors: kInvalidArgument where it is no folder, or another user owns it or can write to it; those of files.
Status make_private_folder(const std::filesystem::path& folder);

}  // namespace headrace::cache
