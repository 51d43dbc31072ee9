// The tuning store on disk: a folder of this user's, with a file for each place.
#pragma once

#include <filesystem>
#include <memory>

#include <headrace/status.h>
#include "core/tuning_store.h"

namespace headrace::cache {

// `folder` is made where it is not there. Several processes may use it at once. A file that is damaged, cut
// off or for another place counts as none, with a warning, and is written anew.
// Errors: those of make_private_folder().
Result<std::shared_ptr<TuningStore>> open_tuning_folder(const std::filesystem::path& folder);

// The one of this user, `tuning` in user_cache_folder(). Where that cannot be used, a store that keeps
// nothing and warns why.
std::shared_ptr<TuningStore> open_user_tuning();

}  // namespace headrace::cache
