#include "route/configuration.hpp"

#include <algorithm>
#include <map>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "env/blocking_calls.hpp"
#include "env/steady_file.hpp"

namespace stillpoint::route {
namespace {

using hypervisor::ConfigurationPlace;
using serialization::ConfigurationKind;

ConfigurationFile named_only(const ConfigurationPlace& place, const std::string& reason) {
    ConfigurationFile file;
    file.document.kind = place.kind;
    file.document.path = place.path.string();
    file.document.reason = reason;
    file.document.note = place.note;
    file.known = place.known;
    return file;
}

std::string written_since(const env::FileStamp& stamp, env::Nanoseconds instant) {
    return stamp.modified > instant ? "written after the snapshot's instant" : "";
}

ConfigurationFile taken(const ConfigurationPlace& place, env::SteadyFile read,
                        env::Nanoseconds instant) {
    ConfigurationFile file = named_only(place, {});
    file.document.bytes = read.content.size();
    file.document.sha256 = to_hex(chunk::sha256(read.content));
    const std::string late = written_since(read.stamp, instant);
    const bool both = !late.empty() && !file.document.note.empty();
    file.document.note += (both ? "; " : "") + late;
    file.content = std::move(read.content);
    return file;
}

env::SteadyLimits limits_of(const ConfigurationPlace& place) {
    const bool nvram = place.kind == ConfigurationKind::nvram;
    return {.bytes_max = nvram ? nvram_bytes_max : tpm_bytes_max, .files_max = tpm_files_max};
}

std::vector<ConfigurationFile> read_file(const ConfigurationPlace& place,
                                         env::Nanoseconds instant) {
    auto read = env::read_steady_file(place.path, limits_of(place));
    if (!read) return {named_only(place, read.error().text)};
    ConfigurationFile file = taken(place, std::move(*read), instant);
    file.document.name = place.kind == ConfigurationKind::nvram ? "nvram.fd" : "tpm/tpm.state";
    return {std::move(file)};
}

std::vector<ConfigurationFile> read_folder(const ConfigurationPlace& place,
                                           env::Nanoseconds instant) {
    auto read = env::read_steady_folder(place.path, limits_of(place));
    if (!read) return {named_only(place, read.error().text)};
    if (read->empty()) return {named_only(place, place.path.string() + " is empty")};
    std::vector<ConfigurationFile> files;
    for (env::SteadyFile& one : *read) {
        const std::string name = one.name;
        if (!is_plain_name(name)) {
            return {named_only(place, place.path.string() + " holds a file of an unusual name")};
        }
        files.push_back(taken(place, std::move(one), instant));
        files.back().document.path = (place.path / name).string();
        files.back().document.name = "tpm/" + name;
    }
    return files;
}

std::vector<ConfigurationFile> read_place(const ConfigurationPlace& place,
                                          env::Nanoseconds instant) {
    if (!place.obstacle.empty()) return {named_only(place, place.obstacle)};
    const bool folder = place.holds == ConfigurationPlace::Holds::folder;
    return folder ? read_folder(place, instant) : read_file(place, instant);
}

/// Two flash chips: nvram.fd and nvram-2.fd.
void tell_apart(std::vector<ConfigurationFile>& files) {
    std::map<std::string, int> seen;
    for (ConfigurationFile& file : files) {
        std::string& name = file.document.name;
        const int number = ++seen[name];
        if (name.empty() || number == 1) continue;
        const std::size_t dot = std::min(name.rfind('.'), name.size());
        name.insert(dot, "-" + std::to_string(number));
    }
}

/// Everything of one reason: a file system that does not answer, a driver that fails.
std::vector<ConfigurationFile> all_missing(const std::vector<ConfigurationPlace>& places,
                                           const std::string& reason) {
    std::vector<ConfigurationFile> files;
    files.reserve(places.size());
    for (const ConfigurationPlace& place : places) {
        files.push_back(named_only(place, place.obstacle.empty() ? reason : place.obstacle));
    }
    return files;
}

std::vector<ConfigurationFile> read_in_time(const std::vector<ConfigurationPlace>& places,
                                            env::Nanoseconds instant,
                                            const env::CancelToken& cancel) {
    const bool any = std::any_of(places.begin(), places.end(),
                                 [](const auto& place) { return place.obstacle.empty(); });
    if (!any) return read_places(places, instant);
    using Files = std::vector<ConfigurationFile>;
    const auto calls = env::BlockingCalls::create({.threads = 1}, cancel);
    if (!calls) return all_missing(places, calls.error().text);
    auto read = (*calls)->run<Files>([places, instant] { return read_places(places, instant); },
                                     configuration_read_budget);
    if (read) return std::move(*read);
    return all_missing(places, "its file system does not answer");
}

serialization::Warning not_taken(const ConfigurationDocument& document) {
    return {"configuration.not_taken",
            std::string{name_of(document.kind)} + " is not in this point: " + document.reason};
}

/// A definition that no restore could read again is none.
void bound_definition(TakenConfiguration& taken) {
    if (taken.definition.size() <= definition_bytes_max) return;
    ConfigurationFile file;
    file.document.kind = ConfigurationKind::definition;
    file.document.reason = "it has " + std::to_string(taken.definition.size()) +
                           " bytes, more than " + std::to_string(definition_bytes_max);
    taken.definition.clear();
    taken.files.push_back(std::move(file));
}

Result<vault::DiskRoot> store_one(vault::Run& run, const std::string& root, ByteView content,
                                  std::uint32_t chunk_bytes) {
    SP_ASSIGN(const auto writer, run.open_disk(root, ByteCount{content.size()}, std::nullopt));
    for (std::uint64_t block = 0; !content.empty(); ++block) {
        const std::size_t step = std::min<std::size_t>(content.size(), chunk_bytes);
        SP_TRY(writer->put(BlockIndex{block}, content.first(step)));
        content = content.subspan(step);
    }
    return writer->finish();
}

}  // namespace

bool is_plain_name(const std::string& name) {
    const auto plain = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '_' || c == '.';
    };
    return !name.empty() && name.size() <= configuration_name_bytes_max && name.front() != '.' &&
           std::all_of(name.begin(), name.end(), plain);
}

std::vector<ConfigurationFile> read_places(const std::vector<ConfigurationPlace>& places,
                                           env::Nanoseconds instant) {
    std::vector<ConfigurationFile> files;
    for (const ConfigurationPlace& place : places) {
        for (ConfigurationFile& file : read_place(place, instant)) {
            files.push_back(std::move(file));
        }
    }
    tell_apart(files);
    return files;
}

TakenConfiguration take_configuration(const BackupServices& services,
                                      const hypervisor::VmInfo& before, env::Nanoseconds instant,
                                      const env::CancelToken& cancel) {
    TakenConfiguration taken;
    taken.definition = before.definition;
    auto told = services.vm.configuration({services.clock, configuration_question_budget});
    if (told) {
        if (!told->definition.empty()) taken.definition = std::move(told->definition);
        taken.files = read_in_time(told->places, instant, cancel);
    } else {
        for (const auto kind : {ConfigurationKind::nvram, ConfigurationKind::tpm}) {
            taken.files.push_back(named_only(
                {.kind = kind}, "the hypervisor could not be asked: " + told.error().text));
        }
    }
    bound_definition(taken);
    for (const ConfigurationFile& file : taken.files) {
        if (file.document.reason.empty() || file.known != ConfigurationPlace::Known::yes) continue;
        taken.warnings.push_back(not_taken(file.document));
    }
    return taken;
}

Result<std::vector<vault::DiskRoot>> store_configuration(vault::Run& run,
                                                         std::vector<ConfigurationFile>& files,
                                                         std::uint32_t chunk_bytes) {
    std::vector<vault::DiskRoot> roots;
    std::map<ConfigurationKind, int> numbers;
    for (ConfigurationFile& file : files) {
        if (!file.document.reason.empty()) continue;
        const int number = ++numbers[file.document.kind];
        std::string root = vault::attachment_mark + std::string{name_of(file.document.kind)};
        if (number > 1) root += "-" + std::to_string(number);
        SP_ASSIGN(vault::DiskRoot stored, store_one(run, root, file.content, chunk_bytes));
        file.document.root = std::move(root);
        roots.push_back(std::move(stored));
    }
    return roots;
}

}  // namespace stillpoint::route
