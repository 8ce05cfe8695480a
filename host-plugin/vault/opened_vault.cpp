#include "vault/opened_vault.hpp"

#include <algorithm>
#include <optional>

#include "base/hex.hpp"
#include "env/workers.hpp"
#include "vault/backup_run.hpp"
#include "vault/check.hpp"
#include "vault/disk_reader.hpp"
#include "vault/gc/forgotten.hpp"
#include "vault/gc/gc.hpp"
#include "vault/map_reader.hpp"
#include "vault/pack_check.hpp"
#include "vault/point_copies.hpp"
#include "vault/point_record.hpp"
#include "vault/repair.hpp"
#include "vault/root_proof.hpp"
#include "vault/sealed_object.hpp"
#include "vault/stats.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::string_view points_prefix = "points/";

tl::unexpected<Error> no_such_point(const PointId& id) {
    return fail(Errc::not_found, "point.not_found", "the vault holds no recovery point " + id,
                "`stillpoint points` lists what it holds");
}

// Worth hiding from a list (check reports it); everything else means that the list is unknown.
bool is_damage(const Error& error) {
    return error.code == Errc::corrupt || error.code == Errc::unsupported;
}

}  // namespace

Result<PointListing> list_points(BlockStore& store) {
    SP_ASSIGN(const auto objects, store.list(std::string{points_prefix}));
    PointListing listing;
    for (const ObjectInfo& object : objects) {
        PointId id = object.name.substr(points_prefix.size());
        if (is_point_id(id)) {
            listing.ids.push_back(std::move(id));
        } else {
            listing.strangers.push_back(object.name);
        }
    }
    return listing;
}

Result<Point> load_point(const VaultCore& core, const PointId& id) {
    if (!is_point_id(id)) return no_such_point(id);
    const auto bytes = get_object(core, ObjectKind::point, point_object(id));
    if (!bytes && bytes.error().code == Errc::not_found) return no_such_point(id);
    if (!bytes) return fail(in_step("recovery point " + id, bytes.error()));
    auto point = decode_point(*bytes);
    if (!point) return fail(in_step("recovery point " + id, point.error()));
    if (point->id != id) {
        return fail(Errc::corrupt, "point.damaged",
                    "object " + point_object(id) + " holds recovery point " + point->id);
    }
    point->object_bytes = object_bytes_of(bytes->size());
    return point;
}

OpenedVault::OpenedVault(std::shared_ptr<VaultCore> core, std::unique_ptr<StoredChunks> chunks)
    : core_(std::move(core)), chunks_(std::move(chunks)), nodes_(*chunks_, node_ids()) {}

IdFn OpenedVault::node_ids() const {
    return [core = core_](ByteView bytes) { return core->keys.node_ids().id_of(bytes); };
}

Result<std::unique_ptr<Vault>> OpenedVault::open(std::shared_ptr<VaultCore> core) {
    SP_ASSIGN(auto chunks, StoredChunks::open(core));
    return std::unique_ptr<Vault>{new OpenedVault{std::move(core), std::move(chunks)}};
}

std::string OpenedVault::short_id() const {
    return to_hex(ByteView{core_->config.id}.first(4));
}

Result<PointList> OpenedVault::point_list() {
    SP_ASSIGN(const PointListing listing, list_points(core_->store));
    std::vector<std::optional<Point>> loaded(listing.ids.size());
    std::vector<std::string> damage(listing.ids.size());
    const auto load_one = [&](std::size_t at) -> Status {
        auto point = load_point(*core_, listing.ids[at]);
        if (point) {
            loaded[at] = std::move(*point);
        } else if (is_damage(point.error())) {
            damage[at] = point.error().text;
        } else if (point.error().code != Errc::not_found) {
            return fail(std::move(point).error());  // forgotten meanwhile is not an error
        }
        return {};
    };
    SP_TRY(env::each_at_once(loaded.size(), core_->store.calls_at_once(), {}, load_one));
    SP_ASSIGN(const auto recovered, list_recovered(*core_));
    PointList list;
    for (std::size_t at = 0; at < loaded.size(); ++at) {
        auto& point = loaded[at];
        if (!damage[at].empty()) list.unreadable.push_back({listing.ids[at], damage[at]});
        if (!point) continue;
        point->recovered = std::binary_search(recovered.begin(), recovered.end(), point->id);
        list.points.push_back(std::move(*point));
    }
    return list;
}

Result<Point> OpenedVault::point(const PointId& id) {
    SP_ASSIGN(Point point, load_point(*core_, id));
    SP_ASSIGN(point.recovered, is_recovered(*core_, id));
    return point;
}

Result<std::unique_ptr<Run>> OpenedVault::begin_run(const PointId& id) {
    return BackupRun::begin(*chunks_, id);
}

Result<std::unique_ptr<DiskReader>> OpenedVault::open_disk(const DiskRoot& root) {
    // A root that another process wrote since the index was loaded. Its whole tree was durable
    // before it, so that one look is enough.
    if (!chunks_->locate(root.root)) SP_TRY(chunks_->refresh());
    return BlockReader::open(*chunks_, nodes_, root, core_->config.chunk_bytes);
}

Status OpenedVault::diff(const DiskRoot& before, const DiskRoot& now, const BlockDiffFn& differs) {
    if (!chunks_->locate(before.root) || !chunks_->locate(now.root)) SP_TRY(chunks_->refresh());
    SP_ASSIGN(const MapReader a, MapReader::open(nodes_, before.root));
    SP_ASSIGN(const MapReader b, MapReader::open(nodes_, now.root));
    return diff_maps(nodes_, a, b, [&](BlockIndex block, const ChildId&, const ChildId& after) {
        return differs(block, after ? BlockChange::written : BlockChange::zeroed);
    });
}

Status OpenedVault::forget(const PointId& id) {
    if (!is_point_id(id)) return no_such_point(id);
    const auto present = core_->store.size(point_object(id));
    if (!present && present.error().code == Errc::not_found) return no_such_point(id);
    const auto point = load_point(*core_, id);
    if (!point && point.error().code == Errc::not_found) return no_such_point(id);  // a fence
    // One that cannot be read can still be forgotten: it is how damage is cleared away.
    return gc::forget_point(*core_, id);
}

Result<CheckResult> OpenedVault::check(CheckDepth depth, const ProgressFn& progress,
                                       const env::CancelToken& cancel) {
    // Nothing that was read before may stand in for what is there now.
    SP_ASSIGN(const auto fresh, StoredChunks::open(core_));
    return check_vault(*fresh, {.depth = depth, .progress = progress, .cancel = cancel});
}

Result<Stats> OpenedVault::stats(const StatsRequest& request, const env::CancelToken& cancel) {
    SP_ASSIGN(PointList list, point_list());
    const std::vector<Point>& points = list.points;
    for (const PointId& id : request.forget) {
        if (std::ranges::find(points, id, &Point::id) == points.end()) return no_such_point(id);
    }
    SP_TRY(chunks_->refresh());
    SP_ASSIGN(Stats stats, measure_vault(*chunks_, nodes_, points, request, cancel));
    stats.unreadable = std::move(list.unreadable);
    return stats;
}

Result<GcResult> OpenedVault::collect(const GcOptions& options, const ProgressFn& progress,
                                      const env::CancelToken& cancel) {
    return gc::collect(core_, options, progress, cancel);
}

Result<RepairResult> OpenedVault::repair(const RepairOptions& options, const ProgressFn& progress,
                                         const env::CancelToken& cancel) {
    return repair_vault(core_, options, progress, cancel);
}

Status OpenedVault::confirm(const PointId& id) {
    SP_ASSIGN(const Point found, point(id));
    if (found.recovered) return unmark_recovered(*core_, id);
    return fail(Errc::refused, "point.not_recovered",
                "recovery point " + id + " was not brought back by a repair",
                "there is nothing to confirm");
}

chunk::ChunkId OpenedVault::id_of(ByteView plaintext) const {
    return core_->keys.data_ids().id_of(plaintext);
}

Result<std::unique_ptr<RootProof>> OpenedVault::prove(ByteCount size) {
    SP_ASSIGN(const MapShape shape,
              MapShape::make(size, core_->config.chunk_bytes, core_->config.map_fan_out));
    return make_root_proof(shape, node_ids());
}

Result<std::unique_ptr<Vault>> open_vault(BlockStore& store, const KeyMaterial& key,
                                          const env::Clock& clock, const VaultOptions& options) {
    SP_ASSIGN(auto core, unlock_vault(store, key, clock));
    core->data_deltas = options.data_deltas;
    return OpenedVault::open(std::move(core));
}

}  // namespace stillpoint::vault
