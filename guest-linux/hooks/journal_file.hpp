#pragma once
#include <optional>
#include <string>

#include "hooks/hook_executor.hpp"
#include "hooks/trusted_file.hpp"
#include "os/clock.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {

inline constexpr os::Nanoseconds hook_journal_write_max = std::chrono::seconds{10};
inline constexpr const char* hook_journal_default = "/var/lib/stillpoint/hooks.journal";

/// @threads one at a time; a child may write in place of its parent
class HookJournalFile final : public HookJournalStore {
public:
    struct Places {
        std::string journal = hook_journal_default;
        std::string lock = "/run/stillpoint/hooks.lock";
        TrustRules trust = TrustRules::of_process();
    };
    explicit HookJournalFile(Places places) : places_(std::move(places)) {}
    Status lock() override;
    [[nodiscard]] std::vector<int> held() const override { return {lock_.get()}; }
    Result<std::optional<quiesce::HookJournal>> read() override;
    Status write(const quiesce::HookJournal& journal) override;
    Status commit(const quiesce::HookJournal& journal) override;
    Status set_aside() override;

private:
    Places places_;
    os::UniqueFd lock_;
    bool broken_ = false;  // a write hangs and may still come true: none may overtake it
};

/// Of the running kernel.
[[nodiscard]] std::string boot_id();

}  // namespace stillpoint::linux_guest
