#include "vault/keyless_check.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <set>

#include "env/workers.hpp"
#include "vault/config.hpp"
#include "vault/damage_log.hpp"
#include "vault/each_pack.hpp"
#include "vault/index_layout.hpp"
#include "vault/key_slots.hpp"
#include "vault/object_header.hpp"
#include "vault/object_names.hpp"
#include "vault/pack_check.hpp"
#include "vault/padding.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::uint64_t sealed_min = object_header_bytes + chunk::seal_overhead_bytes;
constexpr std::uint64_t run_bytes = sealed_min + 16;  // two times
// The shortest of what stands under a point's name.
constexpr std::uint64_t fence_object_bytes = sealed_min + fence_bytes;
constexpr std::uint64_t count_bytes = sealed_min + 4;  // a mark of nothing

bool is_hex(std::string_view text, std::size_t digits) {
    return text.size() == digits &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_point_name(std::string_view rest) {
    return is_point_id(PointId{rest});
}

bool is_segment_name(std::string_view rest) {
    return is_hex(rest, 32);
}

bool is_run_name(std::string_view rest) {
    constexpr std::string_view gc = "gc-";
    const std::size_t dot = rest.rfind('.');
    if (dot == std::string_view::npos) return false;
    const std::string_view number = rest.substr(dot + 1);
    if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) {
        return false;
    }
    std::string_view id = rest.substr(0, dot);
    if (id.starts_with(gc)) id.remove_prefix(gc.size());
    return is_point_name(id);
}

bool whole_pages(std::uint64_t bytes) {
    if (bytes <= object_header_bytes || (bytes - object_header_bytes) % index_page_bytes != 0) {
        return false;
    }
    const std::uint64_t pages = (bytes - object_header_bytes) / index_page_bytes;
    return pages == padme(pages);
}
bool run_long(std::uint64_t bytes) {
    return bytes == run_bytes;
}
bool fence_long(std::uint64_t bytes) {
    return bytes == fence_object_bytes;
}
bool point_long(std::uint64_t bytes) {
    const bool padded = bytes > 0 && bytes == padded_bytes(bytes);
    return fence_long(bytes) || (padded && bytes <= sealed_object_bytes_max + sealed_min);
}
bool list_long(std::uint64_t bytes) {
    return bytes >= count_bytes && bytes <= sealed_object_bytes_max + sealed_min;
}
bool mark_long(std::uint64_t bytes) {
    return list_long(bytes) && (bytes - count_bytes) % std::tuple_size_v<chunk::Digest> == 0;
}

/// What can be said of a sealed object by its name and length.
struct SealedKind {
    const char* prefix;
    ObjectKind kind;
    bool (*named)(std::string_view rest);
    bool (*long_enough)(std::uint64_t bytes);
};
constexpr std::array sealed_kinds{
    SealedKind{names::index, ObjectKind::index, is_segment_name, whole_pages},
    SealedKind{names::points, ObjectKind::point, is_point_name, point_long},
    SealedKind{names::copies, ObjectKind::point, is_point_name, point_long},
    SealedKind{names::forgotten, ObjectKind::point, is_point_name, point_long},
    SealedKind{names::recovered, ObjectKind::point, is_point_name, fence_long},
    SealedKind{names::runs, ObjectKind::run, is_run_name, run_long},
    SealedKind{names::condemned, ObjectKind::condemned, is_point_name, mark_long},
    SealedKind{names::waits, ObjectKind::waits, is_point_name, list_long}};

const SealedKind* sealed_kind_of(const std::string& name) {
    const auto* found =
        std::find_if(sealed_kinds.begin(), sealed_kinds.end(),
                     [&](const SealedKind& kind) { return name.starts_with(kind.prefix); });
    return found == sealed_kinds.end() ? nullptr : found;
}

std::string_view rest_of(const std::string& name, const char* prefix) {
    return std::string_view{name}.substr(std::string_view{prefix}.size());
}

bool is_plain(const std::string& name) {
    if (name.starts_with(names::keys)) return is_hex(rest_of(name, names::keys), 8);
    if (name.starts_with(names::removals)) {
        const std::string_view rest = rest_of(name, names::removals);
        return rest.size() == 17 && rest[8] == '.' && is_hex(rest.substr(0, 8), 8) &&
               is_hex(rest.substr(9), 8);
    }
    // What an init tried the store with, where it could not remove it again.
    return name == names::config || name.starts_with(names::probe);
}

class KeylessChecker {
public:
    KeylessChecker(BlockStore& store, const CheckOptions& options)
        : store_(store), options_(options), log_(options.damage_max) {}

    Result<CheckResult> run() {
        SP_TRY(check_config());
        SP_ASSIGN(const auto objects, store_.list(""));
        sort_out(objects);
        report_lost(objects);
        SP_TRY(env::each_at_once(sealed_.size(), store_.calls_at_once(), options_.cancel,
                                 [this](std::size_t at) { return check_sealed(sealed_[at]); }));
        SP_TRY(for_each_pack(
            packs_, largest_pack_bytes_, options_.cancel,
            [this](const PackName& name, PackMemory& memory) { return check_pack(name, memory); }));
        return CheckResult{log_.take(), points_, bytes_read_.load(), packs_read_.load()};
    }

private:
    Status check_config();
    void sort_out(const std::vector<ObjectInfo>& objects);
    void report_lost(const std::vector<ObjectInfo>& objects);
    Status check_sealed(const ObjectInfo& object);
    Status check_pack(const PackName& name, PackMemory& memory);

    BlockStore& store_;
    const CheckOptions& options_;
    DamageLog log_;
    std::vector<PackName> packs_;
    std::vector<ObjectInfo> sealed_;
    std::uint64_t points_ = 0, pack_bytes_ = 0, largest_pack_bytes_ = 0;
    std::atomic<std::uint64_t> bytes_read_{0}, packs_read_{0};
    std::mutex telling_;  // guards the progress callback
};

/// Damage in both copies of the configuration ends nothing: packs prove themselves.
Status KeylessChecker::check_config() {
    const auto decoded = load_config(store_);
    if (!decoded && decoded.error().code != Errc::corrupt) return fail(decoded.error());
    if (!decoded) {
        log_.add(decoded.error().text);
        return {};
    }
    SP_ASSIGN(const auto plain, check_plain_objects(store_));
    for (const std::string& text : plain) log_.add(text);
    if (decoded->config.encryption == Encryption::none) return {};
    SP_ASSIGN(const KeySlots slots, load_key_slots(store_, decoded->digest));
    if (slots.ours.empty()) log_.add("no key slot that can be read belongs to the vault's config");
    return {};
}

void KeylessChecker::sort_out(const std::vector<ObjectInfo>& objects) {
    for (const ObjectInfo& object : objects) {
        const std::string& name = object.name;
        if (name.starts_with(names::packs)) {
            const auto pack = PackName::parse_object(name);
            if (pack) packs_.push_back(*pack);
            if (!pack) log_.add("object " + name + " is not named like a pack");
            pack_bytes_ += object.size.raw();
            largest_pack_bytes_ = std::max(largest_pack_bytes_, object.size.raw());
            continue;
        }
        const SealedKind* kind = sealed_kind_of(name);
        if (kind != nullptr && kind->named(rest_of(name, kind->prefix))) {
            sealed_.push_back(object);
            points_ += kind->prefix == std::string_view{names::points} ? 1 : 0;
            continue;
        }
        if (!is_plain(name))
            log_.add("object " + name + " is not named like any object of a vault");
    }
}

/// A copy without its point that was not forgotten either. One list, not three: where a backup or a
/// forget is at work meanwhile, a point may look lost; so it is looked for once more.
void KeylessChecker::report_lost(const std::vector<ObjectInfo>& objects) {
    std::set<std::string_view> names;
    for (const ObjectInfo& object : objects) names.insert(object.name);
    for (const ObjectInfo& object : objects) {
        if (!object.name.starts_with(names::copies)) continue;
        const PointId id{rest_of(object.name, names::copies)};
        const std::string point = names::points + id, forgotten = names::forgotten + id;
        if (!is_point_id(id) || names.contains(point) || names.contains(forgotten)) continue;
        const bool settled =
            store_.size(point) || store_.size(forgotten) || !store_.size(object.name);
        if (settled) continue;
        log_.add({id,
                  {},
                  {},
                  "the recovery point is gone and was not forgotten: `stillpoint vault repair` "
                  "brings it back"});
    }
}

Status KeylessChecker::check_sealed(const ObjectInfo& object) {
    const SealedKind& kind = *sealed_kind_of(object.name);
    if (!kind.long_enough(object.size.raw())) {
        log_.add(object.name + ": no object of its kind has " + std::to_string(object.size.raw()) +
                 " bytes");
        return {};
    }
    const auto head = store_.get(object.name, ByteOffset{0}, ByteCount{object_header_bytes});
    if (!head && head.error().code == Errc::not_found) return {};  // removed since the listing
    if (!head && head.error().code != Errc::corrupt) return fail(head.error());
    const auto salt =
        head ? read_object_header(*head, kind.kind) : Result<Salt>{fail(head.error())};
    if (!salt) log_.add(object.name + ": " + salt.error().text);
    return {};
}

Status KeylessChecker::check_pack(const PackName& name, PackMemory& memory) {
    SP_ASSIGN(const PackVerdict verdict, verify_pack_name(store_, name, memory));
    if (verdict.missing) return {};  // gc removed it since the listing
    ++packs_read_;
    for (const std::string& text : verdict.pack_damage) log_.add(text);
    const std::uint64_t done = bytes_read_ += verdict.bytes_read;
    const std::scoped_lock lock{telling_};
    if (options_.progress) options_.progress(done, std::max(done, pack_bytes_));
    return {};
}

}  // namespace

Result<CheckResult> check_without_key(BlockStore& store, const CheckOptions& options) {
    return KeylessChecker{store, options}.run();
}

}  // namespace stillpoint::vault
