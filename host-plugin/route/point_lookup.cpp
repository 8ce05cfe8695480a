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

Result<vault::Point> find_latest(vault::Vault& vault, const std::string& vm) {
    SP_ASSIGN(const std::vector<vault::Point> points, points_of(vault, vm));
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

Result<std::vector<vault::Point>> points_of(vault::Vault& vault, const std::string& vm) {
    SP_ASSIGN(std::vector<vault::Point> points, vault.points());
    if (!vm.empty()) std::erase_if(points, [&](const auto& point) { return !is_vm(point, vm); });
    return points;
}

Result<vault::Point> find_point(vault::Vault& vault, const std::string& name) {
    if (name.ends_with(latest_suffix)) {
        return find_latest(vault, name.substr(0, name.size() - latest_suffix.size()));
    }
    if (!is_hex(name) || name.size() < point_prefix_min || name.size() > id_digits) {
        return fail(Errc::invalid, "point.bad_name", "`" + name + "` names no recovery point",
                    "give an id, at least 8 digits of one, or VM@latest");
    }
    if (name.size() == id_digits) return vault.point(name);
    SP_ASSIGN(std::vector<vault::Point> points, vault.points());
    std::erase_if(points, [&](const auto& point) { return !point.id.starts_with(name); });
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
                                                const std::vector<std::string>& names) {
    std::vector<vault::PointId> ids;
    for (const std::string& name : names) {
        SP_ASSIGN(const vault::Point point, find_point(vault, name));
        ids.push_back(point.id);
    }
    return ids;
}

}  // namespace stillpoint::route
