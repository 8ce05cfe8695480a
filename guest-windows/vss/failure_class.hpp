#pragma once
#include <string_view>

#include "vss/vss_codes.hpp"

/// What to do when a call of VSS fails: one table by its code (docs/windows.md, "When VSS fails").
/// Pure.
namespace stillpoint::windows_guest {

enum class Again {
    never,     // it will fail again
    once,      // with a new object, once
    soon,      // every few seconds until the job's budget ends: somebody else uses VSS
    rested,    // likewise, after a pause: services come back
    repaired,  // once, after our provider was registered anew
    smaller,   // with the next smaller context of snapshots
    later,     // by the host, in ten minutes
};

struct FailureClass {
    Again again = Again::never;
    // Without what is at fault it may work: the next rung of the ladder.
    enum class Fault { nobody, writers, volume } fault = Fault::nobody;
    std::string_view id;      // dotted and stable, part of the protocol's Error
    std::string_view text;    // what it means
    std::string_view remedy;  // what an administrator does; may be empty
};

/// Total.
[[nodiscard]] FailureClass classify(Hresult code);

}  // namespace stillpoint::windows_guest
