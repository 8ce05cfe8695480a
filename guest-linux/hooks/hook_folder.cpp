#include "hooks/hook_folder.hpp"

#include <filesystem>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

namespace fs = std::filesystem;

Result<std::vector<std::string>> names_in(const std::string& folder, const TrustRules& trust) {
    std::error_code error;
    // Who wants no hooks is not asked to whom the folders above belong.
    if (fs::symlink_status(folder, error).type() == fs::file_type::not_found) {
        return fail(Errc::not_found, "os.enoent", folder + " is not there");
    }
    SP_ASSIGN([[maybe_unused]] const os::UniqueFd opened, open_trusted_folder(folder, trust));
    std::vector<std::string> names;
    for (fs::directory_iterator entry{folder, error}; !error && entry != fs::directory_iterator{};
         entry.increment(error)) {
        names.push_back(entry->path().filename());
    }
    if (error) return fail(os::os_error("read " + folder, error.value()));
    return names;
}

}  // namespace

HookFolder read_hook_folder(const std::string& folder, const TrustRules& trust,
                            const HookDefaults& defaults) {
    const HookSource source{[&] { return names_in(folder, trust); },
                            [&](const std::string& path, std::size_t bytes_max) {
                                return read_trusted(path, bytes_max, trust);
                            }};
    return read_hooks(source, folder, defaults);
}

}  // namespace stillpoint::linux_guest
