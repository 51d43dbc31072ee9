// The kernel's small text files: those of /proc and of cgroups.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace {

std::optional<std::string> read_proc_file(const std::string& path);
// The number that the file begins with.
std::optional<int64_t> proc_number(const std::string& path);
// The number after `key` in a file of "key: 123 kB" or "key 123" lines.
std::optional<int64_t> proc_field(const std::string& path, std::string_view key);

}  // namespace headrace
