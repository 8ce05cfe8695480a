#include "vault/gc/live_runs.hpp"

#include <algorithm>
#include <map>

#include "env/random.hpp"
#include "vault/object_names.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault::gc {
namespace {

// A fence is a header, a few bytes and a seal; points are longer, and are not opened for this.
constexpr std::uint64_t fence_object_bytes_max = 128;

std::uint64_t since_epoch_ns(env::Nanoseconds wall) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(wall.count(), 0));
}

constexpr std::string_view gc_prefix = "gc-";

std::uint64_t lease_ns() {
    return static_cast<std::uint64_t>(env::Nanoseconds{RunLease::length}.count());
}

/// The number behind the last dot, and what stands before it.
std::optional<std::pair<std::string, unsigned long>> parse_name(const std::string& object) {
    const std::string name = object.substr(std::string_view{names::runs}.size());
    const std::size_t dot = name.rfind('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == name.size() || name.size() > dot + 10 ||
        name.find_first_not_of("0123456789", dot + 1) != std::string::npos) {
        return std::nullopt;
    }
    return std::pair{name.substr(0, dot), std::stoul(name.substr(dot + 1))};
}

struct Newest {
    RunState state;
    unsigned long number = 0;
    ObjectInfo object;
    std::uint64_t began_ns = 0;  // by the store's clock; 0: it does not tell
};

Status read_times(const VaultCore& core, Newest& newest) {
    const auto plaintext = get_object(core, ObjectKind::run, newest.object.name);
    const auto record =
        plaintext ? decode_run(*plaintext) : Result<RunRecord>{fail(plaintext.error())};
    if (record) {
        newest.state.started_ns = record->started_ns;
        // A host whose clock is ahead seems to have begun later than it did.
        if (newest.began_ns != 0) {
            newest.state.started_ns = std::min(record->started_ns, newest.began_ns);
        }
        newest.state.expires_ns = record->expires_ns;
        return {};
    }
    if (record.error().code != Errc::corrupt && record.error().code != Errc::not_found) {
        return fail(record.error());
    }
    // Damaged, or gone since the listing: by its age it lives a lease longer at most.
    newest.state.expires_ns = newest.object.modified_ns + lease_ns();
    return {};
}

}  // namespace

bool RunState::expired(env::Nanoseconds wall) const {
    const auto margin = static_cast<std::uint64_t>(env::Nanoseconds{clock_skew_max}.count());
    return since_epoch_ns(wall) > expires_ns + margin;
}

bool RunState::is_gc() const {
    return id.starts_with(gc_prefix);
}

std::string new_gc_id(const env::Clock& clock) {
    return std::string{gc_prefix} + env::uuid7(clock);
}

Result<std::vector<RunState>> list_runs(const VaultCore& core) {
    SP_ASSIGN(const auto objects, core.store.list(names::runs));
    std::map<std::string, Newest> by_id;
    for (const ObjectInfo& object : objects) {
        const auto name = parse_name(object.name);
        if (!name) continue;  // a stranger: check reports it
        Newest& run = by_id[name->first];
        run.state.id = name->first;
        run.state.objects.push_back(object.name);
        if (name->second == 0) run.began_ns = object.modified_ns;
        if (run.state.objects.size() > 1 && name->second < run.number) continue;
        run.number = name->second;
        run.object = object;
    }
    std::vector<RunState> runs;
    for (auto& [id, newest] : by_id) {
        SP_TRY(read_times(core, newest));
        runs.push_back(std::move(newest.state));
    }
    return runs;
}

Status bury_run(const VaultCore& core, const RunState& run) {
    if (is_point_id(run.id)) {
        const std::string name = point_object(run.id);
        const auto put = put_object(core, ObjectKind::point, name, encode_fence(run.id));
        if (!put && put.error().id != "store.exists") return fail(put.error());
    }
    // The fence first: without its objects nobody knows of the run any more.
    for (const std::string& object : run.objects) SP_TRY(core.store.remove(object));
    return {};
}

namespace {

/// What time it is by the store's clock: when it got an object that is younger than the process. A
/// host whose clock is ahead by months would take a fence that it has just put for an old one.
Result<std::uint64_t> store_time_ns(const VaultCore& core, const std::string& own_run) {
    SP_ASSIGN(const auto objects, core.store.list(names::runs + own_run + "."));
    std::uint64_t newest = 0;
    for (const ObjectInfo& object : objects) newest = std::max(newest, object.modified_ns);
    return newest == 0 ? since_epoch_ns(core.clock.wall()) : newest;
}

}  // namespace

Status remove_old_fences(const VaultCore& core, const std::string& own_run,
                         std::chrono::hours kept) {
    SP_ASSIGN(const auto objects, core.store.list(names::points));
    SP_ASSIGN(const std::uint64_t now, store_time_ns(core, own_run));
    const auto kept_ns = static_cast<std::uint64_t>(env::Nanoseconds{kept}.count());
    for (const ObjectInfo& object : objects) {
        if (object.size.raw() > fence_object_bytes_max || object.modified_ns == 0 ||
            object.modified_ns + kept_ns > now) {
            continue;
        }
        const auto plaintext = get_object(core, ObjectKind::point, object.name);
        if (plaintext && is_fence(*plaintext)) SP_TRY(core.store.remove(object.name));
    }
    return {};
}

}  // namespace stillpoint::vault::gc
