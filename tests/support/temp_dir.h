// A folder that lives as long as the test.
#pragma once

#include <filesystem>
#include <string>

namespace cdsp::test {

class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  /// Deletes the folder with all that is in it.
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }

  /// Writes a file, the folders on its way included, and returns its path.
  std::filesystem::path write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

}  // namespace cdsp::test
