#pragma once
#include <string>

#include "hooks/journal_store.hpp"
#include "os/handle.hpp"
#include "os/path_trust.hpp"

namespace stillpoint::windows_guest {

/// The journal of hooks as a file, hooks.journal in the data folder. @threads one
class HookJournalFile final : public hooks::HookJournalStore {
public:
    HookJournalFile(const std::string& folder, os::TrustRules trust)
        : journal_(folder + "\\hooks.journal"),
          lock_path_(folder + "\\hooks.lock"),
          trust_(std::move(trust)) {}
    Status lock() override;
    [[nodiscard]] std::vector<int> held() const override { return {}; }
    Result<std::optional<quiesce::HookJournal>> read() override;
    Status write(const quiesce::HookJournal& journal) override;
    Status set_aside() override;

private:
    std::string journal_;
    std::string lock_path_;
    os::TrustRules trust_;
    os::Handle lock_;
};

/// The same until Windows is started again: made anew by the first who asks after that.
/// @errors denied, io, id "windows.call"
[[nodiscard]] Result<std::string> boot_id();

}  // namespace stillpoint::windows_guest
