#include "hypervisor/qmp/vm.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::ConfigurationKind;
using serialization::Value;

/// A path of QEMU's is the same file here.
bool same_mounts(std::int64_t qemu_pid) {
    std::error_code hidden;
    std::error_code failed;
    const auto theirs =
        std::filesystem::read_symlink("/proc/" + std::to_string(qemu_pid) + "/ns/mnt", hidden);
    const auto ours = std::filesystem::read_symlink("/proc/self/ns/mnt", failed);
    return !hidden && !failed && theirs == ours;
}

std::string obstacle_of(const Value& tpm) {
    const Value* options = tpm.find("options");
    const std::string type = options == nullptr ? "" : options->text_or("type");
    if (type == "passthrough") {
        return "the TPM is a device of this host, which keeps its state to itself";
    }
    return "QEMU does not know where the TPM emulator keeps its state";
}

}  // namespace

std::vector<ConfigurationPlace> tpm_places(const Value& answer) {
    std::vector<ConfigurationPlace> places;
    for (const Value& tpm : elements(answer)) {
        places.push_back({.kind = ConfigurationKind::tpm, .obstacle = obstacle_of(tpm)});
    }
    return places;
}

ConfigurationPlace QmpVm::flash_place(const DeviceFacts& chip) const {
    const std::string& driver = chip.source.driver;
    ConfigurationPlace place{.kind = ConfigurationKind::nvram,
                             .path = canonical(chip.source.filename)};
    const bool plain = driver == "raw" || driver == "file";
    if (!plain) {
        place.obstacle = place.path.string() + " is a " + driver +
                         " image, which is whole only while the VM is off";
    } else if (!place.path.is_absolute()) {
        place.obstacle = place.path.string() + " is no local file";
    } else if (!same_mounts(monitor_.qemu_pid)) {
        place.obstacle =
            "QEMU runs in another mount namespace, or it cannot be seen whether it "
            "does: " +
            place.path.string() + " may be another file here";
    }
    return place;
}

Result<Configuration> QmpVm::configuration(const env::Deadline& deadline) {
    Configuration configuration;
    SP_ASSIGN(const auto chips, ask_flash_chips(*client_, deadline));
    for (const DeviceFacts& chip : chips) {
        if (!chip.source.read_only) configuration.places.push_back(flash_place(chip));
    }
    const auto tpm = client_->execute("query-tpm", {}, deadline);
    if (!tpm && !is_refusal(tpm.error())) return fail(tpm.error());
    for (ConfigurationPlace& place : tpm_places(tpm ? *tpm : Value{})) {
        configuration.places.push_back(std::move(place));
    }
    return configuration;
}

}  // namespace stillpoint::hypervisor::qmp
