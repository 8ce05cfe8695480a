#pragma once
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "quiesce/hook_journal.hpp"

namespace stillpoint::hooks {

/// Where a hook journal is kept: a file, or a fake.
class HookJournalStore {
public:
    virtual ~HookJournalStore() = default;
    /// Takes it for this process alone; the children it names in `held` keep it until they have
    /// become a hook. @errors busy, id "journal.locked" · of opening it
    virtual Status lock() = 0;
    /// Descriptors that hold the lock in a child.
    [[nodiscard]] virtual std::vector<int> held() const = 0;
    /// @return nullopt: nothing is owed. @errors journal.damaged, journal.version, hook.untrusted
    virtual Result<std::optional<quiesce::HookJournal>> read() = 0;
    /// On the disk when it returns, whole or as it was before. One without hooks is removed.
    /// Never waits long for a disk that hangs. @errors timeout, id "journal.slow" · of writing
    virtual Status write(const quiesce::HookJournal& journal) = 0;
    /// The same in a child that is about to become a hook: it may hang, and is then given up.
    virtual Status commit(const quiesce::HookJournal& journal) { return write(journal); }
    /// Puts one that cannot be read out of the way, for people to look at.
    virtual Status set_aside() = 0;
};

}  // namespace stillpoint::hooks
