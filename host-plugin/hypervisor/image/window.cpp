#include "hypervisor/image/window.hpp"

#include <algorithm>

#include "base/limits.hpp"
#include "hypervisor/qmp/ask.hpp"

namespace stillpoint::hypervisor::image {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

constexpr std::int64_t granularity_bytes = limits::chunk_bytes_default;

Value action(const char* type, Map data) {
    return Map{{"type", type}, {"data", std::move(data)}};
}

bool holds(const std::vector<BitmapInfo>& bitmaps, const std::string& name) {
    return std::any_of(bitmaps.begin(), bitmaps.end(),
                       [&](const BitmapInfo& bitmap) { return bitmap.name == name; });
}

// QEMU: Failed to get "write" lock, or Failed to get shared "write" lock.
bool is_locked(const Error& error) {
    return error.text.find("Failed to get") != std::string::npos;
}

}  // namespace

Window::~Window() {
    // Nodes that cannot be removed now go with the daemon.
    static_cast<void>(close());
}

Status Window::lock() {
    for (const BitmapChange& change : changes_) {
        for (const Map& node : edit_nodes(change.disk)) {
            const Status added = client_.run("blockdev-add", node, deadline_);
            if (added) {
                open_.push_back(serialization::Value{node}.text_or("node-name"));
                continue;
            }
            if (!is_locked(added.error())) {
                return fail(in_step("disk " + change.disk.disk, added.error()));
            }
            Error error = in_use(change.disk.disk, change.disk.path);
            error.id = "image.locked";
            return fail(std::move(error));
        }
    }
    return {};
}

Status Window::reopen(Access access) {
    Array all;
    for (const BitmapChange& change : changes_) all.push_back(edit_options(change.disk, access));
    return client_.run("blockdev-reopen", Map{{"options", std::move(all)}}, deadline_);
}

Result<Array> Window::actions() {
    SP_ASSIGN(const auto existing, qmp::ask_bitmaps(client_, deadline_));
    Array actions;
    for (const BitmapChange& change : changes_) {
        const std::string& node = change.disk.edit_node;
        const auto found = existing.find(node);
        for (const std::string& name : change.remove) {
            if (found == existing.end() || !holds(found->second, name)) continue;
            actions.push_back(
                action("block-dirty-bitmap-remove", {{"node", node}, {"name", name}}));
        }
        if (change.add.empty()) continue;
        actions.push_back(action("block-dirty-bitmap-add", {{"node", node},
                                                            {"name", change.add},
                                                            {"persistent", true},
                                                            {"granularity", granularity_bytes}}));
    }
    return actions;
}

Status Window::apply() {
    SP_ASSIGN(Array todo, actions());
    if (todo.empty()) return {};
    SP_TRY(reopen(Access::read_write));
    SP_TRY(client_.run("transaction", Map{{"actions", std::move(todo)}}, deadline_));
    return reopen(Access::read_only);
}

Status Window::close() {
    Status first;
    while (!open_.empty()) {
        Status removed = client_.run("blockdev-del", Map{{"node-name", open_.back()}}, deadline_);
        if (first && !removed) first = std::move(removed);
        open_.pop_back();
    }
    return first;
}

}  // namespace stillpoint::hypervisor::image
