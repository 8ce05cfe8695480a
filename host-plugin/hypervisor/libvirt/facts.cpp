#include "hypervisor/libvirt/facts.hpp"

#include <algorithm>
#include <array>

#include "hypervisor/libvirt/monitor.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

VmState our_state(int state) {
    switch (state) {
        case VIR_DOMAIN_RUNNING:
        case VIR_DOMAIN_BLOCKED:
        case VIR_DOMAIN_SHUTDOWN:  // still shutting down: disks are being written
            return VmState::running;
        case VIR_DOMAIN_SHUTOFF:
        case VIR_DOMAIN_NOSTATE:
            return VmState::shut_off;
        default:
            return VmState::paused;  // paused, suspended, or a crashed guest kept by QEMU
    }
}

Result<ByteCount> size_without_node(virDomainPtr domain, const DomainDisk& disk) {
    virDomainBlockInfo info{};
    if (virDomainGetBlockInfo(domain, disk.name.c_str(), &info, 0) < 0) {
        return fail(last_error("read the size of disk " + disk.name));
    }
    return ByteCount{info.capacity};
}

DiskInfo configured_info(const DomainDisk& disk) {
    DiskInfo info;
    info.name = disk.name;
    info.path = disk.path;
    info.format = disk.format;
    info.serial = disk.serial;
    info.read_only = disk.read_only;
    return info;
}

Result<DiskInfo> disk_info(virDomainPtr domain, const DomainDisk& disk, const Nodes& nodes) {
    DiskInfo info = configured_info(disk);
    const Node* active =
        disk.layer_indexes.empty() ? nullptr : find_layer(nodes, disk.layer_indexes.front());
    if (active == nullptr) {
        SP_ASSIGN(info.size, size_without_node(domain, disk));
        return info;
    }
    info.size = active->virtual_size;
    info.persistent_bitmaps = active->holds_bitmaps;
    info.transient_bitmaps = true;
    info.bitmaps = bitmaps_of_ours(nodes, disk.layer_indexes);
    return info;
}

Status read_state(virDomainPtr domain, Facts& facts) {
    if (virDomainGetState(domain, &facts.state, &facts.reason, 0) < 0) {
        return fail(last_error("read the VM's state"));
    }
    facts.vm.state = our_state(facts.state);
    // Only this reason says that the guest itself ended its work.
    facts.vm.clean_shutdown =
        facts.state == VIR_DOMAIN_SHUTOFF && facts.reason == VIR_DOMAIN_SHUTOFF_SHUTDOWN;
    return {};
}

}  // namespace

const DomainDisk* Facts::disk(const std::string& name) const {
    const auto found = std::find_if(xml.disks.begin(), xml.disks.end(),
                                    [&](const DomainDisk& disk) { return disk.name == name; });
    return found == xml.disks.end() ? nullptr : &*found;
}

const Node* Facts::active_node(const std::string& disk_name) const {
    const DomainDisk* found = disk(disk_name);
    if (found == nullptr || found->layer_indexes.empty()) return nullptr;
    return find_layer(nodes, found->layer_indexes.front());
}

Result<std::string> xml_of(virDomainPtr domain, unsigned flags) {
    const Text xml{virDomainGetXMLDesc(domain, flags)};
    if (!xml) return fail(last_error("read the domain XML"));
    return std::string{xml.get()};
}

bool is_active(const Facts& facts) {
    return facts.vm.state != VmState::shut_off;
}

Result<Facts> read_facts(virDomainPtr domain) {
    Facts facts;
    SP_TRY(read_state(domain, facts));
    SP_ASSIGN(const std::string live, xml_of(domain, 0));
    SP_ASSIGN(const std::string inactive, xml_of(domain, VIR_DOMAIN_XML_INACTIVE));
    SP_ASSIGN(facts.xml, parse_domain(live));
    facts.vm.name = facts.xml.name;
    facts.vm.uuid = facts.xml.uuid;
    SP_ASSIGN(facts.vm.definition, definition_from(live, inactive));
    if (is_active(facts)) {
        facts.vm.guest_channel = facts.xml.guest_channel;
        SP_ASSIGN(facts.nodes, query_nodes(domain));
    }
    for (const DomainDisk& disk : facts.xml.disks) {
        if (!is_active(facts)) {
            facts.vm.disks.push_back(configured_info(disk));  // its image tells the rest
            continue;
        }
        SP_ASSIGN(DiskInfo info, disk_info(domain, disk, facts.nodes));
        facts.vm.disks.push_back(std::move(info));
    }
    return facts;
}

Result<bool> paused_by_io_error(virDomainPtr domain) {
    int state = 0;
    int reason = 0;
    if (virDomainGetState(domain, &state, &reason, 0) < 0) {
        return fail(last_error("read the VM's state"));
    }
    return state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
}

Result<GuestWrites> count_guest_writes(virDomainPtr domain) {
    std::array<virDomainPtr, 2> domains{domain, nullptr};
    virDomainStatsRecordPtr* records = nullptr;
    const int count = virDomainListGetStats(domains.data(), VIR_DOMAIN_STATS_BLOCK, &records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    if (count < 0) return fail(last_error("read the VM's statistics"));
    GuestWrites writes;
    for (int i = 0; i < count && records[i] != nullptr; ++i) {
        for (int n = 0; n < records[i]->nparams; ++n) {
            const virTypedParameter& item = records[i]->params[n];
            const std::string_view field{&item.field[0]};
            if (item.type != VIR_TYPED_PARAM_ULLONG) continue;
            if (field.ends_with(".wr.reqs")) writes.count += item.value.ul;
            if (field.ends_with(".wr.times")) {
                writes.time += env::Nanoseconds{static_cast<std::int64_t>(item.value.ul)};
            }
        }
    }
    virDomainStatsRecordListFree(records);
    return writes;
}

}  // namespace stillpoint::hypervisor::libvirt
