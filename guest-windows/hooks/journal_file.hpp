#pragma once
#include <optional>
#include <string>

#include "hooks/journal_store.hpp"
#include "os/trusted_path.hpp"

namespace stillpoint::windows_guest {

/// The journal of hooks as a file, hooks.journal in the data folder. A folder that somebody else
/// could have made, or can write, is not used: what is created in it could be led elsewhere.
/// @threads one
class HookJournalFile final : public hooks::HookJournalStore {
public:
    HookJournalFile(const std::string& folder, os::TrustRules trust)
        : folder_(folder),
          journal_(folder + "\\hooks.journal"),
          lock_path_(folder + "\\hooks.lock"),
          trust_(std::move(trust)) {}
    /// @errors also denied, id "hook.untrusted": the folder
    Status lock() override;
    [[nodiscard]] std::vector<int> held() const override { return {}; }
    Result<std::optional<quiesce::HookJournal>> read() override;
    Status write(const quiesce::HookJournal& journal) override;
    Status set_aside() override;

private:
    std::string folder_;
    std::string journal_;
    std::string lock_path_;
    os::TrustRules trust_;
    std::optional<os::TrustedPath> place_;  // since it is locked: nobody exchanges the folder
    os::Handle lock_;
};

/// The same until Windows is started again: made anew by the first who asks after that.
/// @errors denied, io, id "windows.call"
[[nodiscard]] Result<std::string> boot_id();

}  // namespace stillpoint::windows_guest
