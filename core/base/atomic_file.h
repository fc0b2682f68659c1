// Whole files only: a reader sees the old file or the new one, never a half.
//
// Every writer here writes beside the target, flushes to the disk (fsync), renames over the target
// and flushes the folder. Failures throw WorkError naming the path and the reason; the file beside
// is removed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace cdsp {

/// Replaces `path` by `content`, atomically and durably. The parent folder must exist.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Reads the whole of `path`. Throws InputError if it is missing, a folder, unreadable, or a pipe
/// or device (/dev/stdin, /dev/zero) that gives more than 64 MiB.
std::string read_file(const std::filesystem::path& path);

/// Flushes a file or a folder to the disk. Throws WorkError.
void sync_path(const std::filesystem::path& path);

}  // namespace cdsp
