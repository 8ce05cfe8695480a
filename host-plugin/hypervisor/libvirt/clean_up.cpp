#include "hypervisor/libvirt/checkpoints.hpp"
#include "hypervisor/libvirt/connection.hpp"
#include "hypervisor/libvirt/job.hpp"
#include "hypervisor/libvirt/keeper_order.hpp"

namespace stillpoint::hypervisor {
namespace libvirt {

serialization::Value to_document(const KeeperOrder& order) {
    serialization::Map scratch;
    for (const auto& [disk, file] : order.paths.files) scratch[disk] = file.string();
    serialization::Map bitmaps;
    for (const auto& [disk, bitmap] : order.new_bitmaps) bitmaps[disk] = bitmap;
    return serialization::Map{{"driver", "libvirt"},
                              {"uri", order.uri},
                              {"vm", order.vm},
                              {"folder", order.paths.folder.string()},
                              {"socket", order.paths.socket.string()},
                              {"scratch", std::move(scratch)},
                              {"bitmaps", std::move(bitmaps)}};
}

Result<KeeperOrder> from_document(const serialization::Value& document) {
    KeeperOrder order;
    order.uri = document.text_or("uri");
    order.vm = document.text_or("vm");
    order.paths.folder = document.text_or("folder");
    order.paths.socket = document.text_or("socket");
    const serialization::Value* scratch = document.find("scratch");
    if (order.uri.empty() || order.vm.empty() || order.paths.folder.empty() ||
        order.paths.socket.empty() || scratch == nullptr || scratch->map() == nullptr) {
        return fail(Errc::corrupt, "keeper.document", "the order for the clean-up is incomplete");
    }
    for (const auto& [disk, file] : *scratch->map()) {
        if (file.text() == nullptr) {
            return fail(Errc::corrupt, "keeper.document",
                        "the scratch file of " + disk + " is no path");
        }
        order.paths.files[disk] = *file.text();
    }
    order.undecided = document.boolean_or("undecided", false);
    const serialization::Value* bitmaps = document.find("bitmaps");
    if (bitmaps == nullptr || bitmaps->map() == nullptr) return order;
    for (const auto& [disk, name] : *bitmaps->map()) {
        if (name.text() != nullptr) order.new_bitmaps[disk] = *name.text();
    }
    return order;
}

namespace {

// The VM is resumed only while a scratch file of ours is left: a second call finds none, and a VM
// that stopped after our end is not ours to start.
Status end_at_libvirt(virDomainPtr domain, const KeeperOrder& order,
                      const env::Deadline& deadline) {
    SP_TRY(end_backup(domain, order.paths.socket.string(), deadline));
    const auto used = measure(order.paths);
    if (total(used) == ByteCount{}) return {};
    SP_TRY(resume_after_io_error(domain));
    return {};
}

Status drop_new_bitmaps(virDomainPtr domain, const KeeperOrder& order) {
    SP_ASSIGN(const Facts facts, read_facts(domain));
    // Off by now: what QEMU stored in the images is for the next run.
    if (!is_active(facts)) return {};
    std::map<std::string, std::vector<std::string>> by_disk;
    for (const auto& [disk, bitmap] : order.new_bitmaps) {
        if (!bitmap.empty()) by_disk[disk].push_back(bitmap);
    }
    return remove_bitmaps(domain, facts, by_disk);
}

// A job that could not be ended still writes to its scratch: the files stay for the next try.
Status end_all(const KeeperOrder& order, const env::Deadline& deadline) {
    SP_ASSIGN(const auto connection, Connection::open(order.uri, LibvirtLoop::ours, deadline));
    const auto domain = connection->find(order.vm, deadline);
    const bool gone = !domain && domain.error().code == Errc::not_found;  // undefined meanwhile
    if (gone) return remove_scratch(order.paths);
    if (!domain) return fail(domain.error());
    SP_TRY(connection->call<void>(deadline, "end the backup",
                                  [domain = *domain, order, deadline](virConnectPtr) {
                                      return end_at_libvirt(domain.get(), order, deadline);
                                  }));
    SP_TRY(remove_scratch(order.paths));
    if (!order.undecided) return {};
    return connection->call<void>(
        deadline, "drop the new bitmaps",
        [domain = *domain, order](virConnectPtr) { return drop_new_bitmaps(domain.get(), order); });
}

}  // namespace
}  // namespace libvirt

Status clean_up_libvirt(const serialization::Value& document, const env::Deadline& deadline) {
    SP_ASSIGN(const libvirt::KeeperOrder order, libvirt::from_document(document));
    return libvirt::end_all(order, deadline);
}

}  // namespace stillpoint::hypervisor
