#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "serialization/enum_text.hpp"

/// What is owed to hooks, kept on persistent storage, so that a pre that was started is followed by
/// its end also after the extension or the guest has crashed. It names hooks, never commands: those
/// are read from their own files again.
namespace stillpoint::quiesce {

inline constexpr std::int64_t hook_journal_version = 1;
inline constexpr std::size_t hook_journal_bytes_max = 64u << 10;

/// The furthest step of a hook that was begun.
enum class HookStep {
    pre,     // its pre was started
    held,    // … and succeeded
    ending,  // its post or abort was started
};
inline constexpr serialization::EnumTable<HookStep, 3> hook_step_names{
    {{HookStep::pre, "pre"}, {HookStep::held, "held"}, {HookStep::ending, "ending"}}};
SP_ENUM_TEXT(HookStep, hook_step_names)

struct HookJournalEntry {
    std::string name;
    HookStep step = HookStep::pre;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("step", s.step);
    }
    friend bool operator==(const HookJournalEntry&, const HookJournalEntry&) = default;
};

struct HookJournal {
    std::int64_t version = hook_journal_version;
    std::string boot_id;  // of the running kernel, when it was written
    std::string job_id;
    std::vector<HookJournalEntry> hooks;  // in the order of their pre
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("version", s.version);
        v("boot_id", s.boot_id);
        v("job_id", s.job_id);
        v("hooks", s.hooks);
    }
    friend bool operator==(const HookJournal&, const HookJournal&) = default;
};

/// One line with the checksum (CRC-32C, hex) of what follows, then JSON.
[[nodiscard]] std::string encode_hook_journal(const HookJournal& journal);

/// @errors corrupt, id "journal.damaged" · unsupported, id "journal.version": of a later version
[[nodiscard]] Result<HookJournal> decode_hook_journal(std::string_view text);

enum class Recovery {
    abort,   // run abort, or post told that it was aborted
    forget,  // its end was started and goes on by itself: never a second time
};

/// What the next start owes to a hook. An end that a reboot has cut is run again: nothing of it can
/// still be under way, and nobody knows how far it came.
[[nodiscard]] constexpr Recovery recovery_of(HookStep step, bool same_boot) {
    return step == HookStep::ending && same_boot ? Recovery::forget : Recovery::abort;
}

}  // namespace stillpoint::quiesce
