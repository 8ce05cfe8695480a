#include "freeze/mountinfo.hpp"

#include <algorithm>
#include <charconv>
#include <ranges>

namespace stillpoint::linux_guest {
namespace {

template <class T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(at), text.size());
        parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

std::optional<Mount> parse_line(std::string_view line) {
    const std::vector<std::string_view> words = split(line, ' ');
    const auto dash = std::ranges::find(words, "-");
    // Six fields, any number of optional ones, "-", type, source and super options.
    if (dash - words.begin() < 6 || words.end() - dash < 3) return std::nullopt;
    const auto id = parse_number<int>(words[0]);
    const auto parent = parse_number<int>(words[1]);
    const auto device = DeviceId::parse(words[2]);
    if (!id || !parent || !device) return std::nullopt;
    Mount mount{*id,
                *parent,
                *device,
                unescape_octal(words[3]),
                unescape_octal(words[4]),
                unescape_octal(dash[1]),
                unescape_octal(dash[2]),
                {},
                {}};
    if (words.end() - dash > 3) mount.super_options = dash[3];
    return mount;
}

bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

}  // namespace

std::string DeviceId::text() const {
    return std::to_string(major) + ":" + std::to_string(minor);
}

std::optional<DeviceId> DeviceId::parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto major = parse_number<std::uint32_t>(text.substr(0, colon));
    const auto minor = parse_number<std::uint32_t>(text.substr(colon + 1));
    if (!major || !minor) return std::nullopt;
    return DeviceId{*major, *minor};
}

bool Mount::read_only() const {
    return std::ranges::count(split(super_options, ','), "ro") > 0;
}

std::optional<std::string> Mount::super_option(std::string_view key) const {
    for (const std::string_view option : split(super_options, ',')) {
        if (option.size() > key.size() && option.starts_with(key) && option[key.size()] == '=') {
            return unescape_octal(option.substr(key.size() + 1));
        }
    }
    return std::nullopt;
}

Result<MountTable> MountTable::parse(std::string_view text) {
    MountTable table;
    int number = 0;
    for (const std::string_view line : split(text, '\n')) {
        ++number;
        auto mount = parse_line(line);
        if (!mount) {
            return fail(Errc::corrupt, "freeze.mountinfo",
                        "mountinfo line " + std::to_string(number) + " is not in the known form");
        }
        table.children_.emplace(std::pair{mount->parent, mount->point}, table.mounts_.size());
        table.ids_.insert(mount->id);
        table.mounts_.push_back(std::move(*mount));
    }
    return table;
}

void MountTable::seen_through(const std::string& process_root) {
    for (Mount& mount : mounts_) mount.via = process_root;
}

void MountTable::climb(std::vector<const Mount*>& walked, std::string_view path) const {
    // More steps than mounts: a loop of parents, which only a forged table can have.
    while (walked.size() <= mounts_.size()) {
        const int below = walked.back()->id;
        const auto [first, last] = children_.equal_range({below, std::string(path)});
        const auto child = std::find_if(
            first, last, [&](const auto& entry) { return mounts_[entry.second].id != below; });
        if (child == last) return;
        walked.push_back(&mounts_[child->second]);
    }
}

const Mount* MountTable::root() const {
    const auto found = std::ranges::find_if(mounts_, [&](const Mount& mount) {
        return mount.point == "/" && (mount.parent == mount.id || !ids_.contains(mount.parent));
    });
    return found == mounts_.end() ? nullptr : &*found;
}

std::vector<const Mount*> MountTable::walk(std::string_view path) const {
    std::vector<const Mount*> walked;
    if (!path.starts_with('/') || root() == nullptr) return walked;
    walked.push_back(root());
    climb(walked, "/");
    for (std::size_t end = 1; end < path.size(); ++end) {
        end = std::min(path.find('/', end), path.size());
        climb(walked, path.substr(0, end));
    }
    return walked;
}

bool MountTable::visible(const Mount& mount) const {
    const std::vector<const Mount*> walked = walk(mount.point);
    return !walked.empty() && walked.back()->id == mount.id;
}

std::string unescape_octal(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                            is_octal(text[i + 2]) && is_octal(text[i + 3]);
        if (!escape) {
            out.push_back(text[i]);
            continue;
        }
        const int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
        out.push_back(static_cast<char>(value));
        i += 3;
    }
    return out;
}

}  // namespace stillpoint::linux_guest
