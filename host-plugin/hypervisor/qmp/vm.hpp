#pragma once
#include <memory>

#include "env/peer.hpp"
#include "hypervisor/qmp/session.hpp"

namespace stillpoint::hypervisor::qmp {

/// A VM (or a storage daemon's disks) behind one QMP monitor.
class QmpVm final : public Vm {
public:
    QmpVm(std::shared_ptr<QmpClient> client, Monitor monitor, env::Peer qemu,
          const env::Clock& clock)
        : client_(std::move(client)),
          monitor_(std::move(monitor)),
          qemu_(std::move(qemu)),
          clock_(clock) {}
    /// Connects. @errors as QmpClient::connect
    static Result<std::unique_ptr<QmpVm>> open(const env::Path& socket, const std::string& label,
                                               const env::Clock& clock);

    Result<VmInfo> inspect(const env::Deadline& deadline) override;
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                          const env::Deadline& deadline) override;
    Result<std::unique_ptr<Snapshot>> plan_snapshot(const SnapshotPlan& plan) override;
    /// The images of flash chips that the guest may write, and that there is a TPM.
    Result<Configuration> configuration(const env::Deadline& deadline) override;
    [[nodiscard]] Version version() const { return monitor_.version; }
    /// For snapshots planned from now on.
    void choose_mode(ModeChoice choice) { choice_ = choice; }

private:
    Result<DiskInfo> disk_info(const DeviceFacts& device, const env::Deadline& deadline);
    [[nodiscard]] std::string canonical(const std::string& filename) const;
    Result<std::string> definition(const env::Deadline& deadline);
    [[nodiscard]] ConfigurationPlace flash_place(const DeviceFacts& chip) const;

    std::shared_ptr<QmpClient> client_;
    Monitor monitor_;
    env::Peer qemu_;
    const env::Clock& clock_;
    ModeChoice choice_ = ModeChoice::safest;
};

/// What QEMU says about the VM's TPM. Pure. @param answer of query-tpm; null: no such command
[[nodiscard]] std::vector<ConfigurationPlace> tpm_places(const serialization::Value& answer);

/// The host's unix socket behind the VM's virtio-serial port of this name; empty: none.
[[nodiscard]] Result<std::string> find_guest_channel(QmpClient& client, const std::string& port,
                                                     const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::qmp
