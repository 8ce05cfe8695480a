#pragma once
#include "serialization/evidence.hpp"
#include "serialization/fields.hpp"
#include "serialization/requests.hpp"
#include "serialization/unreadable.hpp"

/// Which recovery points are kept when a vault is pruned, and what became of each.
namespace stillpoint::serialization {

/// Numbers count hours, days and so on that have a point, not those that went by: a VM that was
/// switched off for a year loses nothing by it. 0: the rule keeps nothing.
struct RetentionRules {
    std::uint32_t last = 0;  // points
    std::uint32_t hourly = 0;
    std::uint32_t daily = 0;
    std::uint32_t weekly = 0;  // of ISO 8601, from Monday
    std::uint32_t monthly = 0;
    std::uint32_t yearly = 0;
    std::string within;  // "36h", "30d", "8w" before the VM's newest point; empty: no such rule
    std::string zone;    // of the IANA database, whose midnight parts days; empty: UTC
    [[nodiscard]] bool keeps_something() const {
        return last + hourly + daily + weekly + monthly + yearly > 0 || !within.empty();
    }
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("last", s.last);
        v("hourly", s.hourly);
        v("daily", s.daily);
        v("weekly", s.weekly);
        v("monthly", s.monthly);
        v("yearly", s.yearly);
        v("within", s.within);
        v("zone", s.zone);
    }
};

struct PruneRequest {
    static constexpr std::string_view kind = "prune";
    VaultAccess vault;
    std::vector<std::string> vms;  // names or uuids; empty: all
    RetentionRules keep;           // goes before the configuration's
    std::string policy;            // a file with <retention>, instead of host.xml
    bool dry_run = false;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("vault", s.vault);
        v("vms", s.vms);
        v("keep", s.keep);
        v("policy", s.policy);
        v("dry_run", s.dry_run);
    }
};

/// One recovery point and why it is kept; without reasons it is forgotten.
struct PrunedPoint {
    std::string point, vm, uuid, time;
    Level level = Level::crash;
    std::vector<std::string> reasons;  // "newest", "best level", "daily", "recovered", …
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("point", s.point);
        v("vm", s.vm);
        v("uuid", s.uuid);
        v("time", s.time);
        v("level", s.level);
        v("reasons", s.reasons);
    }
};

struct PruneReport {
    bool dry_run = false;
    std::vector<PrunedPoint> kept;  // oldest first, like those below
    std::vector<PrunedPoint> forgotten;
    std::vector<UnreadablePoint> unreadable;  // neither: of any VM, and no rule counts them
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("dry_run", s.dry_run);
        v("kept", s.kept);
        v("forgotten", s.forgotten);
        v("unreadable", s.unreadable);
    }
};

}  // namespace stillpoint::serialization
