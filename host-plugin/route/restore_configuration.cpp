#include "route/restore_configuration.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "route/configuration.hpp"

namespace stillpoint::route {
namespace {

constexpr std::string_view tpm_folder = "tpm/";
constexpr mode_t file_mode = 0600;  // a TPM's state holds keys
constexpr mode_t folder_mode = 0700;

tl::unexpected<Error> damaged(const std::string& text) {
    return fail(Errc::corrupt, "restore.configuration", text);
}

/// The document is authenticated; it still names no file outside the folder (I7).
Result<env::Path> path_below(const env::Path& folder, const std::string& name) {
    const bool tpm = name.starts_with(tpm_folder);
    const std::string last = tpm ? name.substr(tpm_folder.size()) : name;
    if (!is_plain_name(last)) return damaged("the recovery point names a file " + name);
    return tpm ? folder / "tpm" / last : folder / last;
}

/// Each block is proven by its id, and the ids by the root.
Result<Bytes> read_root(vault::Vault& vault, const vault::DiskRoot& root) {
    if (root.size.raw() > nvram_bytes_max) return damaged("its size is out of bounds");
    SP_ASSIGN(const auto reader, vault.open_disk(root));
    Bytes content(root.size.raw());
    const std::uint64_t chunk = reader->chunk_bytes();
    for (std::uint64_t at = 0; at < content.size(); at += chunk) {
        SP_ASSIGN(const Bytes block, reader->block(BlockIndex{at / chunk}));
        if (block.size() > content.size() - at) return damaged("a block is too long");
        std::copy(block.begin(), block.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return content;
}

Result<Bytes> read_content(vault::Vault& vault, const vault::Point& point,
                           const ConfigurationDocument& file) {
    const auto root = std::find_if(point.disks.begin(), point.disks.end(),
                                   [&](const auto& disk) { return disk.disk == file.root; });
    if (root == point.disks.end()) return damaged("the recovery point has no root " + file.root);
    SP_ASSIGN(Bytes content, read_root(vault, *root));
    if (to_hex(chunk::sha256(content)) != file.sha256) {
        return damaged(file.name + " is not what was taken: its SHA-256 differs");
    }
    return content;
}

/// Another disk of the same point may have been restored here before.
Result<bool> is_there(const RestoredFile& file) {
    const auto present = std::filesystem::symlink_status(file.path);
    if (!std::filesystem::exists(present)) return false;
    if (std::filesystem::is_regular_file(present)) {
        const auto content = env::read_file(file.path, nvram_bytes_max);
        if (content && *content == file.content) return true;
    }
    return fail(Errc::busy, "restore.exists",
                file.path.string() + " exists and differs; nothing was written",
                "choose an empty folder with --to, or leave the configuration out with "
                "--no-config");
}

Status add_file(ConfigurationRestore& configuration, env::Path path, Bytes content) {
    RestoredFile file{.path = std::move(path), .content = std::move(content)};
    SP_ASSIGN(file.there, is_there(file));
    configuration.files.push_back(std::move(file));
    return {};
}

}  // namespace

Result<ConfigurationRestore> load_configuration(vault::Vault& vault, const vault::Point& point,
                                                const env::Path& folder) {
    SP_ASSIGN(const PointDocument document, decode_point_document(point.document));
    ConfigurationRestore configuration;
    if (!document.definition.empty()) {
        SP_TRY(add_file(configuration, folder / definition_name(document),
                        to_bytes(as_bytes(document.definition))));
    }
    for (const ConfigurationDocument& file : document.configuration) {
        if (file.root.empty()) continue;  // it was not taken, as the point says
        auto content = read_content(vault, point, file);
        auto path = path_below(folder, file.name);
        if (content && path) {
            SP_TRY(add_file(configuration, std::move(*path), std::move(*content)));
            continue;
        }
        const Error& error = content ? path.error() : content.error();
        if (error.code != Errc::corrupt) return fail(error);
        configuration.damage.push_back({.point = point.id,
                                        .disk = file.root,
                                        .offset = 0,
                                        .length = file.bytes,
                                        .text = error.text});
    }
    return configuration;
}

Status write_configuration(const ConfigurationRestore& configuration) {
    for (const RestoredFile& file : configuration.files) {
        if (file.there) continue;
        const env::Path folder = file.path.parent_path();
        SP_TRY(env::make_folders(folder, folder_mode));
        SP_TRY(env::write_durably(file.path, file.content, file_mode, folder));
    }
    return {};
}

}  // namespace stillpoint::route
