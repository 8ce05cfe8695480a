#include "route/point_lookup.hpp"

#include <algorithm>
#include <set>

namespace stillpoint::route {
namespace {

constexpr std::string_view latest_suffix = "@latest";
constexpr std::size_t id_digits = 32;

bool is_hex(const std::string& text) {
    return text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_vm(const vault::Point& point, const std::string& vm) {
    return point.vm_name == vm || (!point.vm_uuid.empty() && point.vm_uuid == vm);
}

tl::unexpected<Error> cannot_be_read(const vault::UnreadablePoint& point,
                                     const std::string& remedy) {
    return fail(Errc::corrupt, "point.damaged",
                "recovery point " + point.id + " cannot be read: " + point.text, remedy);
}

Result<vault::Point> find_latest(vault::Vault& vault, const std::string& vm) {
    SP_ASSIGN(const vault::PointList list, points_of(vault, vm));
    const std::vector<vault::Point>& points = list.points;
    if (!list.unreadable.empty() &&
        (points.empty() || list.unreadable.back().id > points.back().id)) {
        const std::string other =
            points.empty() ? "" : ", or take the latest that can be read, " + points.back().id;
        return cannot_be_read(list.unreadable.back(),
                              "it may be the latest one: run `stillpoint vault repair`" + other);
    }
    if (points.empty()) {
        return fail(Errc::not_found, "point.not_found", "no recovery point of VM " + vm,
                    "`stillpoint points` lists what the vault holds");
    }
    std::set<std::string> uuids;
    for (const vault::Point& point : points) uuids.insert(point.vm_uuid);
    if (uuids.size() > 1) {
        return fail(
            Errc::invalid, "point.ambiguous",
            "the vault holds points of " + std::to_string(uuids.size()) + " VMs named " + vm,
            "use the VM's uuid, or a point's id");
    }
    return points.back();
}

}  // namespace

vault::PointList points_of(vault::PointList list, const std::string& vm) {
    if (!vm.empty()) {
        std::erase_if(list.points, [&](const auto& point) { return !is_vm(point, vm); });
    }
    return list;
}

Result<vault::PointList> points_of(vault::Vault& vault, const std::string& vm) {
    SP_ASSIGN(vault::PointList list, vault.point_list());
    return points_of(std::move(list), vm);
}

Result<vault::Point> find_point(vault::Vault& vault, const std::string& name) {
    if (name.ends_with(latest_suffix)) {
        return find_latest(vault, name.substr(0, name.size() - latest_suffix.size()));
    }
    if (!is_hex(name) || name.size() < point_prefix_min || name.size() > id_digits) {
        return fail(Errc::invalid, "point.bad_name", "`" + name + "` names no recovery point",
                    "give an id, at least 8 digits of one, or VM@latest");
    }
    if (name.size() == id_digits) {
        auto point = vault.point(name);
        if (point || point.error().code != Errc::corrupt) return point;
        return cannot_be_read({name, point.error().text}, "run `stillpoint vault repair`");
    }
    SP_ASSIGN(vault::PointList list, vault.point_list());
    std::vector<vault::Point>& points = list.points;
    std::erase_if(points, [&](const auto& point) { return !point.id.starts_with(name); });
    const auto unreadable = std::ranges::find_if(
        list.unreadable, [&](const auto& point) { return point.id.starts_with(name); });
    if (unreadable != list.unreadable.end()) {
        return cannot_be_read(*unreadable, "run `stillpoint vault repair`, or give more digits");
    }
    if (points.empty()) {
        return fail(Errc::not_found, "point.not_found", "no recovery point begins with " + name,
                    "`stillpoint points` lists what the vault holds");
    }
    if (points.size() > 1) {
        return fail(Errc::invalid, "point.ambiguous",
                    std::to_string(points.size()) + " recovery points begin with " + name,
                    "give more digits");
    }
    return points.front();
}

Result<std::vector<vault::PointId>> find_points(vault::Vault& vault,
                                                const std::vector<std::string>& names,
                                                Damaged damaged) {
    std::vector<vault::PointId> ids;
    for (const std::string& name : names) {
        const auto point = find_point(vault, name);
        const bool named = damaged == Damaged::by_full_id && name.size() == id_digits && !point &&
                           point.error().code == Errc::corrupt;
        if (!point && !named) return fail(point.error());
        ids.push_back(named ? name : point->id);
    }
    return ids;
}

}  // namespace stillpoint::route
