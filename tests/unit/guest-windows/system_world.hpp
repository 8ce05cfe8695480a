#pragma once
#include <string>

#include "hooks/hook_runner.hpp"

/// A folder below C:\ that the system's rules hold for, removed at the end.
namespace stillpoint::test {

class SystemFolder {
public:
    SystemFolder();
    SystemFolder(const SystemFolder&) = delete;
    SystemFolder& operator=(const SystemFolder&) = delete;
    ~SystemFolder();
    [[nodiscard]] const std::string& path() const { return path_; }
    /// @return the file's path
    std::string write(const std::string& name, const std::string& text) const;
    /// The helper's program under that name.
    std::string put_helper(const std::string& name) const;
    /// Gives everybody the right, as `icacls /grant *S-1-1-0:…` does.
    static void let_everybody(const std::string& path, unsigned long right);

private:
    std::string path_;
};

}  // namespace stillpoint::test
